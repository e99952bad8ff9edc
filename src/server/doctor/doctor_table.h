/* What the doctor can find. X(NAME, code, severity, meaning, fix). The code is for good: runbooks and
 * alerts name it. docs/doctor.md is made from these rows. */
#pragma once

/* clang-format off */
#define DOCTOR_TABLE(X) \
	X(CONFIG_INVALID, "DOC-CONFIG-INVALID", ERROR, \
		"the server does not start with this configuration", \
		"correct the lines named; `milvus-cdc check-config` tells when the file is in order") \
	X(CONFIG_WARNING, "DOC-CONFIG-WARNING", WARNING, \
		"a setting is unknown, old or too open; the server starts", \
		"correct the lines named, or leave them if they are meant so") \
	X(ETCD_UNREACHABLE, "DOC-ETCD-UNREACHABLE", ERROR, \
		"without the source's etcd nothing is known of its collections", \
		"set sourceConfig.etcd.address to the client addresses of the source's etcd (and enableTLS with its files, if it speaks TLS); see that it runs and that this machine reaches it") \
	X(ETCD_MEMBER, "DOC-ETCD-MEMBER", WARNING, \
		"the source's etcd is used through the other members; if they go, so does the catalog", \
		"start the member, or take it out of sourceConfig.etcd.address") \
	X(ETCD_AUTH, "DOC-ETCD-AUTH", ERROR, \
		"etcd refuses our login, or the user may not read the source's keys", \
		"set sourceConfig.etcd.enableAuth, username and password to a user that may read all keys below rootPath") \
	X(ETCD_ROOT, "DOC-ETCD-ROOT", ERROR, \
		"nothing is replicated: no Milvus keeps its metadata at this place", \
		"set sourceConfig.etcd.rootPath to the source's etcd.rootPath (helm and compose: by-dev; operator: the release name)") \
	X(ETCD_META_PATH, "DOC-ETCD-META-PATH", ERROR, \
		"nothing is replicated: the root path is right, the part below it is not", \
		"set sourceConfig.etcd.metaSubPath to the source's etcd.metaSubPath (by default: meta)") \
	X(ETCD_TIMESTAMP, "DOC-ETCD-TIMESTAMP", WARNING, \
		"the source never allocated a timestamp here: it was never started, or the root path is that of something else", \
		"start the source, or set sourceConfig.etcd.rootPath to its etcd.rootPath") \
	X(CATALOG_EMPTY, "DOC-CATALOG-EMPTY", NOTE, \
		"there is nothing to replicate yet; collections made from now on are seen at once", \
		"nothing, if the source is new; else compare sourceConfig.etcd with the source's own settings") \
	X(TASK_NOTHING, "DOC-TASK-NOTHING", WARNING, \
		"the task replicates nothing now; names are taken literally, only `*` stands for all", \
		"compare the names in db_collections (or collection_infos) with those of the source") \
	X(TASK_UNCOVERED, "DOC-TASK-UNCOVERED", WARNING, \
		"these databases stay out: collection_infos selects collections of `default` only, db_collections the databases it names", \
		"use db_collections, e.g. {\"*\":[{\"name\":\"*\"}]} for all, or leave it if it is meant so") \
	X(TASK_MEETING, "DOC-TASK-MEETING", WARNING, \
		"two collections of the source would have one name on the target: the later one waits until the other is dropped", \
		"give one of them another name in name_mapping") \
	X(QUEUE_UNREACHABLE, "DOC-QUEUE-UNREACHABLE", ERROR, \
		"without the source's queue no row is read", \
		"set sourceConfig.kafka.address or sourceConfig.pulsar.address to what the source itself uses; see that it runs and that this machine reaches the addresses that the brokers tell") \
	X(QUEUE_AUTH, "DOC-QUEUE-AUTH", ERROR, \
		"the queue refuses our login or our certificate", \
		"set the SASL, token or TLS settings of sourceConfig.kafka or sourceConfig.pulsar as the source has them") \
	X(QUEUE_TOPIC, "DOC-QUEUE-TOPIC", ERROR, \
		"the source's collections live on topics that this queue does not have: it is another queue, tenant or namespace", \
		"set sourceConfig.kafka.address, or sourceConfig.pulsar.address, tenant and namespace, to those of the source") \
	X(QUEUE_REPLICATE, "DOC-QUEUE-REPLICATE", WARNING, \
		"operations (index, load, alias, users) are not replicated until this topic exists; the first operation at a source with common.ttMsgEnabled true makes it", \
		"nothing, if the source is new; else set sourceConfig.replicateChan to <chanNamePrefix.cluster>-<chanNamePrefix.replicateMsg> of the source, and common.ttMsgEnabled true there") \
	X(QUEUE_SILENT, "DOC-QUEUE-SILENT", ERROR, \
		"a source writes a time tick every 200 ms into the topics of its collections, and nothing is visible on a target without them", \
		"start the source, with common.ttMsgEnabled true; if this is the queue of a target, set sourceConfig to the source's") \
	X(QUEUE_GONE, "DOC-QUEUE-GONE", ERROR, \
		"the task can't go on where it stopped: what it did not read was deleted at the source", \
		"delete the task, copy the collections once (milvus-backup), and create it again with the backup's positions; then raise the queue's retention") \
	X(QUEUE_EXPIRES, "DOC-QUEUE-EXPIRES", WARNING, \
		"if the task stands still for the expected outage from now on, the queue deletes what it has not read", \
		"resume the task or mend what it waits for, or raise the queue's retention") \
	X(QUEUE_RETENTION, "DOC-QUEUE-RETENTION", WARNING, \
		"an outage as long as expected would lose data: the queue deletes messages before they are read", \
		"raise the topics' retention, e.g. kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config retention.ms=259200000 (three days)") \
	X(QUEUE_RETENTION_UNKNOWN, "DOC-QUEUE-RETENTION-UNKNOWN", NOTE, \
		"how long the queue keeps messages can't be asked here; a stopped task finds its position only while they are there", \
		"Pulsar: see that `pulsar-admin namespaces get-retention TENANT/NAMESPACE` says more than the longest outage; Kafka: allow our user DescribeConfigs on topics") \
	X(TARGET_UNREACHABLE, "DOC-TARGET-UNREACHABLE", ERROR, \
		"nothing can be written", \
		"check uri, port and TLS of the connection, and that the target runs and answers from this machine") \
	X(TARGET_AUTH, "DOC-TARGET-AUTH", ERROR, \
		"the target refuses our login or our rights", \
		"give token as user:password of a user that may do all (root, or a role with all privileges)") \
	X(TARGET_MODE, "DOC-TARGET-MODE", ERROR, \
		"the target takes no replicated messages: it writes its own time ticks (Milvus code 1900)", \
		"set common.ttMsgEnabled: false in the target's milvus.yaml and restart it (2.5 with replicateID: common.collectionReplicateEnable: true)") \
	X(TARGET_CHANNEL, "DOC-TARGET-CHANNEL", NOTE, \
		"a target that got no operation yet has no replicate topic; the first operation makes it. Replication is allowed, else the answer were 1900", \
		"nothing") \
	X(TARGET_PROBE, "DOC-TARGET-PROBE", WARNING, \
		"an empty ReplicateMessage, which changes nothing, got an answer that says neither yes nor no", \
		"look at what was seen; if it passes by itself, the task goes on by itself") \
	X(TARGET_VERSION, "DOC-TARGET-VERSION", WARNING, \
		"the target is of a release that replication was not tried with", \
		"use Milvus 2.3.x to 2.5.x, or try with a copy first") \
	X(TARGET_CLOCK, "DOC-TARGET-CLOCK", WARNING, \
		"our clock and the target's differ: lag is shown wrong by as much", \
		"let NTP set the clocks of both machines") \
	X(SOURCE_CLOCK, "DOC-SOURCE-CLOCK", WARNING, \
		"the source's clock is ahead of the target's: each row is held back by as much, for no target takes rows of its future", \
		"let NTP set the clocks of source and target") \
	X(TARGET_SCHEMA, "DOC-TARGET-SCHEMA", ERROR, \
		"a collection of that name exists on the target and does not fit: the task would leave it alone, as Failed", \
		"drop or rename the collection on the target, or map the source's to another name with name_mapping") \
	X(TARGET_SHARDS, "DOC-TARGET-SHARDS", ERROR, \
		"shards are paired by their number: a collection with another number of shards can't be replicated into", \
		"drop the collection on the target (it is made again with the right number), or map the source's to another name") \
	X(TARGET_EXISTS, "DOC-TARGET-EXISTS", NOTE, \
		"these collections exist on the target with the same schema: rows are added to what they hold", \
		"nothing, if they hold a backup of the source or are empty") \
	X(TARGET_ALIAS, "DOC-TARGET-ALIAS", ERROR, \
		"on the target that name is an alias of another collection: nothing is written to it", \
		"drop the alias on the target, or map the source's collection to another name") \
	X(TARGET_SAME, "DOC-TARGET-SAME", ERROR, \
		"source and target are one cluster: a collection would be replicated into itself", \
		"give the target's uri, or correct sourceConfig: one of them names the wrong cluster") \
	X(TARGET_LEFT, "DOC-TARGET-LEFT", NOTE, \
		"so many collections were not compared with the target's, to keep the doctor quick", \
		"nothing; a difference is found when the collection's turn comes, and shown as its state") \
	X(STORE_UNREACHABLE, "DOC-STORE-UNREACHABLE", ERROR, \
		"tasks and positions can be neither read nor written", \
		"correct metaStoreConfig, and see that the metastore runs and lets us in") \
	X(STORE_TAKEN, "DOC-STORE-TAKEN", ERROR, \
		"another server works with the same metastore and root path: of the two only the newer one writes", \
		"stop one of them, or give it another metaStoreConfig.rootPath") \
	X(STORE_DAMAGED, "DOC-STORE-DAMAGED", WARNING, \
		"a stored task can't be read and does not run", \
		"delete the task and create it again, or restore the record from a backup") \
	X(CERT_UNREADABLE, "DOC-CERT-UNREADABLE", ERROR, \
		"connections that need this file fail", \
		"put a certificate in PEM form there, readable for the server's user") \
	X(CERT_EXPIRED, "DOC-CERT-EXPIRED", ERROR, \
		"peers refuse a certificate that is not valid now", \
		"put a valid certificate in its place; it is read again at the next connection") \
	X(CERT_SOON, "DOC-CERT-SOON", WARNING, \
		"when it expires, new connections fail", \
		"put a new certificate in its place; it is read again at the next connection, without a restart") \
	X(API_OPEN, "DOC-API-OPEN", WARNING, \
		"everybody who reaches our address may create, pause and delete tasks", \
		"set api.writeToken (or api.tlsClientCAPath), or set address to 127.0.0.1:8444") \
	X(PORT_TAKEN, "DOC-PORT-TAKEN", ERROR, \
		"our API can't listen there", \
		"stop the other program, or set address to another port") \
	X(PORT_OURS, "DOC-PORT-OURS", NOTE, \
		"a milvus-cdc server runs there; a second one with this configuration would not start", \
		"nothing") \
	X(LIMIT_FILES, "DOC-LIMIT-FILES", WARNING, \
		"with too few file descriptors connections fail when readers catch up", \
		"raise the limit: LimitNOFILE=65536 in the systemd unit, `ulimit -n 65536` in a shell")
/* clang-format on */
