#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/config/config.h"
#include "server/config/config_priv.h"
#include "server/docs.h"

/* A file in a folder of its own, the findings of loading it, and the result. */
struct fixture {
	char dir[64], path[96];
	struct buf problems, warnings;
	struct config *c;
	enum err_code code;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/cdc-config-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/cdc.yaml", f->dir);
	buf_init(&f->problems, 1 << 20);
	buf_init(&f->warnings, 1 << 20);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	rmdir(f->dir);
	buf_done(&f->problems);
	buf_done(&f->warnings);
	config_free(f->c);
	free(f);
	return 0;
}

static void load(struct fixture *f, const char *text)
{
	struct err e = ERR_INIT;
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	chmod(f->path, 0600);
	config_free(f->c);
	f->c = NULL;
	buf_reset(&f->problems);
	buf_reset(&f->warnings);
	f->code = config_load(f->path, &f->c, &f->problems, &f->warnings, &e);
	assert_true((f->code == ERR_OK) == (f->c != NULL));
	assert_true((f->code == ERR_OK) == (f->problems.n == 0));
}

/* The line "<path>:rest" must be among the findings. */
static void expect(struct fixture *f, struct buf *findings, const char *rest)
{
	CLEANUP(freep)
	char *line = xasprintf("%s:%s\n", f->path, rest);

	if (!strstr(buf_cstr(findings), line))
		fail_msg("missing: %sin:\n%s", line, buf_cstr(findings));
}

static void expect_problem(struct fixture *f, const char *rest)
{
	assert_int_equal(f->code, ERR_INVALID);
	expect(f, &f->problems, rest);
}

static size_t lines(struct buf *b)
{
	size_t n = 0;
	for (const char *s = buf_cstr(b); *s; s++)
		n += *s == '\n';
	return n;
}

#define SOURCE                                                                                     \
	"sourceConfig:\n  etcd: {address: [127.0.0.1:2379]}\n  replicateChan: "                    \
	"by-dev-replicate-msg\n"                                                                   \
	"  kafka: {address: '127.0.0.1:9092'}\n"

static void test_smallest(void **state)
{
	struct fixture *f = *state;
	char db[128];

	load(f, SOURCE);
	assert_int_equal(f->code, ERR_OK);
	assert_string_equal(buf_cstr(&f->warnings), "");
	assert_string_equal(f->c->address, "0.0.0.0:8444");
	assert_int_equal(f->c->max_task_num, 100);
	assert_int_equal(f->c->max_name_length, 256);
	assert_int_equal(f->c->log_level, LOG_INFO);
	assert_int_equal(f->c->store_kind, CONFIG_STORE_SQLITE);
	snprintf(db, sizeof(db), "%s/milvus-cdc.db", f->dir);
	assert_string_equal(f->c->sqlite_path, db);
	assert_string_equal(f->c->source_etcd.root_path, "by-dev");
	assert_string_equal(f->c->source_etcd.meta_sub_path, "meta");
	assert_string_equal(f->c->default_partition, "_default");
	assert_int_equal(f->c->tick_interval_ms, 500);
	assert_int_equal(f->c->memory_budget_bytes, 128 << 20);
	assert_int_equal(f->c->retry_first_ms, 0);
	assert_int_equal(f->c->retry_most_ms, 0);
	assert_string_equal(f->c->no_effect, "");
	assert_int_equal(f->c->packer_max_bytes, 16 << 20);
	assert_true(f->c->has_kafka);
	assert_false(f->c->has_pulsar);
}

static void test_newer_spelling(void **state)
{
	struct fixture *f = *state;

	load(f, "Address: ':1234'\nmaxtasknum: 7\nlogLevel: WARN\ndetectDeadLock: yes\n"
		"metaStoreConfig:\n  storeType: etcd\n  etcd:\n    address: [a:1, 'http://b:2']\n"
		"    enableAuth: true\n    username: u\n    password: 12\n    enableTLS: on\n"
		"    tlsMinVersion: 1.3\n  rootPath: cdc\n"
		"sourceConfig:\n  etcd:\n    address: [c:3]\n    rootPath: my\n    metaSubPath: m\n"
		"  replicateChan: x-replicate-msg\n  kafka:\n    address: b1:9092, b2:9092\n"
		"    saslUsername: u\n    saslPassword: p\n    saslMechanisms: PLAIN\n"
		"    securityProtocol: sasl_ssl\n    consumer: {fetch.wait.max.ms: 10, a: ~}\n"
		"retry: {retryTimes: 3, initBackOff: 20, maxBackOff: 30}\n"
		"packer: {maxMsgSize: 4096}\n");
	assert_int_equal(f->code, ERR_OK);
	assert_string_equal(f->c->address, ":1234");
	assert_int_equal(f->c->max_task_num, 7);
	assert_int_equal(f->c->log_level, LOG_WARN);
	assert_true(f->c->detect_dead_lock);
	assert_int_equal(f->c->store_kind, CONFIG_STORE_ETCD);
	assert_int_equal(f->c->store_etcd.n_endpoints, 2);
	assert_string_equal(f->c->store_etcd.endpoints[1], "http://b:2");
	assert_string_equal(f->c->store_etcd.password, "12");
	assert_string_equal(f->c->store_etcd.tls_min_version, "1.3");
	assert_string_equal(f->c->store_root_path, "cdc");
	assert_string_equal(f->c->source_etcd.root_path, "my");
	assert_string_equal(f->c->kafka_extra[0], "fetch.wait.max.ms");
	assert_string_equal(f->c->kafka_extra[1], "10");
	assert_string_equal(f->c->kafka_extra[3], "");
	assert_null(f->c->kafka_extra[4]);
	assert_int_equal(f->c->retry_first_ms, 20000);
	assert_int_equal(f->c->retry_most_ms, 40000);
	assert_int_equal(f->c->packer_max_bytes, 4 << 20);
	assert_int_equal(lines(&f->warnings), 1);
	expect(f, &f->warnings,
		"28: retry.retryTimes: has no effect: what may pass is retried for ever");
}

/* To run without the mode would do what nobody asked for. */
static void test_modes_of_the_reference(void **state)
{
	struct fixture *f = *state;
	char *text = xasprintf("replicateID: %0300d\n"
			       "sourceConfig: {replicateChan: c, kafka: {address: b:1}}\n",
		7);

	load(f, text);
	assert_int_equal(f->code, ERR_INVALID);
	free(text);
	load(f, "replicateID: r1\nsourceConfig: {replicateChan: c, kafka: {address: b:1}}\n");
	assert_int_equal(f->code, ERR_OK);
	assert_string_equal(f->c->replicate_id, "r1");
}

static void test_older_spelling(void **state)
{
	struct fixture *f = *state;

	load(f, "metaStoreConfig:\n  storeType: etcd\n  etcdEndpoints: [localhost:2379]\n  "
		"rootPath: cdc\n"
		"sourceConfig:\n  etcdAddress: [localhost:2380]\n  etcdRootPath: rel\n"
		"  etcdMetaSubPath: mm\n  readChanLen: 10\n  replicateChan: by-dev-replicate-msg\n"
		"  kafka: {address: \"127.0.0.1:9092\"}\n");
	assert_int_equal(f->code, ERR_OK);
	assert_string_equal(f->c->store_etcd.endpoints[0], "localhost:2379");
	assert_string_equal(f->c->source_etcd.endpoints[0], "localhost:2380");
	assert_string_equal(f->c->source_etcd.root_path, "rel");
	assert_string_equal(f->c->source_etcd.meta_sub_path, "mm");
	assert_int_equal(lines(&f->warnings), 4);
	expect(f, &f->warnings,
		"3: metaStoreConfig.etcdEndpoints: older spelling of metaStoreConfig.etcd.address; "
		"still "
		"read");
}

static void test_older_wins_over_newer(void **state)
{
	struct fixture *f = *state;

	load(f, "sourceConfig:\n  etcd: {address: [new:1], rootPath: r}\n  etcdAddress: "
		"old:1,old:2\n"
		"  replicateChan: x\n  kafka: {address: 'h:1'}\n");
	assert_int_equal(f->code, ERR_OK);
	assert_int_equal(f->c->source_etcd.n_endpoints, 2);
	assert_string_equal(f->c->source_etcd.endpoints[1], "old:2");
	assert_string_equal(f->c->source_etcd.root_path, "r");
	expect(f, &f->warnings,
		"3: sourceConfig.etcdAddress: stands beside sourceConfig.etcd.address (line 2) and "
		"wins as "
		"the older spelling; remove one of them");
	load(f, "sourceConfig:\n  etcd: {address: [new:1]}\n  etcdAddress: []\n"
		"  replicateChan: x\n  kafka: {address: 'h:1'}\n");
	assert_string_equal(f->c->source_etcd.endpoints[0], "new:1");
}

static void test_all_problems_at_once(void **state)
{
	struct fixture *f = *state;

	load(f, "address: nonsense\nmaxNameLength: abc\ndryRun: perhaps\nreplicateID: [1]\n"
		"metaStoreConfig:\n  storeType: mysql\n  mysqlSourceUrl: root:hush@tcp(h:x)/x\n"
		"sourceConfig:\n  etcd: {address: [host, {a: b}], enableTLS: true, enableAuth: "
		"true,\n"
		"    tlsCertPath: /nope.pem, tlsMinVersion: 2}\n  readChanLen: -1\n"
		"  kafka: {address: 'h:1,x', saslUsername: u, securityProtocol: TLS, consumer: 3}\n"
		"packer: 7\n");
	expect_problem(f, "1: address = \"nonsense\": not host:port; write e.g. 0.0.0.0:8444");
	expect_problem(f, "2: maxNameLength = \"abc\": not a whole number; write e.g. 256");
	expect_problem(f, "3: dryRun = \"perhaps\": neither true nor false; write one of them");
	expect_problem(f, "4: replicateID: a list stands where a value is expected");
	expect_problem(f,
		"7: metaStoreConfig.mysqlSourceUrl: the address's port is not 1 to 65535; write "
		"user:password@tcp(host:3306)/database");
	expect_problem(f,
		"8: sourceConfig.replicateChan: the replicate channel in the source config is "
		"empty; write <chanNamePrefix.cluster>-<chanNamePrefix.replicateMsg> of the "
		"source's milvus.yaml, e.g. by-dev-replicate-msg");
	expect_problem(f, "9: sourceConfig.etcd.address = \"host\": not host:port; write e.g. "
			  "127.0.0.1:2379");
	expect_problem(
		f, "9: sourceConfig.etcd.address: an item is a block of settings; write text");
	expect_problem(f,
		"10: sourceConfig.etcd.tlsCertPath = \"/nope.pem\": can't be read: No such file "
		"or directory; give the path of a PEM file this user may read");
	expect_problem(f,
		"9: sourceConfig.etcd.tlsKeyPath = \"\": certificate and key belong together; "
		"give both tlsCertPath and tlsKeyPath, or neither");
	expect_problem(f,
		"10: sourceConfig.etcd.tlsMinVersion = \"2\": unknown TLS version; write 1.0, "
		"1.1, 1.2 or 1.3");
	expect_problem(f,
		"9: sourceConfig.etcd.username = \"\": enableAuth is on but there is no user; "
		"give username and password");
	expect_problem(
		f, "11: sourceConfig.readChanLen = \"-1\": out of range; write 0 to 1048576");
	expect_problem(f, "12: sourceConfig.kafka.address = \"h:1,x\": not host:port; write e.g. "
			  "127.0.0.1:9092, commas between brokers");
	expect_problem(f,
		"12: sourceConfig.kafka.securityProtocol = \"TLS\": unknown; write PLAINTEXT, "
		"SSL, SASL_PLAINTEXT or SASL_SSL");
	expect_problem(f,
		"12: sourceConfig.kafka.saslMechanisms: empty though saslUsername is set; write "
		"e.g. PLAIN");
	expect_problem(f, "13: packer: a value stands where a block of settings is expected");
	assert_null(strstr(buf_cstr(&f->problems), "hush"));
}

static void test_secrets_are_masked(void **state)
{
	struct fixture *f = *state;

	load(f, "sourceConfig: {replicateChan: x, kafka: {address: 'h:1', saslPassword: [hush],\n"
		"  consumer: hush}}\n");
	expect_problem(
		f, "1: sourceConfig.kafka.saslPassword: a list stands where a value is expected");
	expect_problem(
		f, "2: sourceConfig.kafka.consumer = \"***\": not a map; write {name: value}");
	assert_null(strstr(buf_cstr(&f->problems), "hush"));
}

static void test_pulsar(void **state)
{
	struct fixture *f = *state;

	load(f, "sourceConfig:\n  replicateChan: x\n  pulsar:\n    address: pulsar://h:6650,g\n"
		"    maxMessageSize: 1048576\n    webPort: 80\n    webAddress: h\n");
	assert_int_equal(f->problems.n, 0);
	assert_true(f->c->has_pulsar && f->c->pulsar_verify_host);
	assert_int_equal(f->c->pulsar_max_message_size, 1048576);
	load(f, "sourceConfig:\n  replicateChan: x\n  kafka: {address: 'h:1'}\n"
		"  pulsar: {address: 'http://h:6650'}\n");
	expect_problem(f,
		"4: sourceConfig.pulsar.address = \"http://h:6650\": \"http://h:6650\" is no "
		"Pulsar service url: write pulsar://host:6650 or pulsar+ssl://host:6651");
	expect(f, &f->warnings,
		"4: sourceConfig.pulsar: kafka is set up as well; pulsar comes first, as "
		"it always did");
	load(f, "sourceConfig:\n  replicateChan: x\n");
	expect_problem(f,
		"1: sourceConfig.pulsar.address: the source's message queue is missing; write "
		"e.g. pulsar: {address: pulsar://127.0.0.1:6650} or kafka: {address: "
		"127.0.0.1:9092}");
}

static void test_pulsar_auth(void **state)
{
	struct fixture *f = *state;

	load(f, "sourceConfig:\n  replicateChan: x\n  pulsar: {address: 'pulsar://h:1', "
		"authPlugin: "
		"token, authParams: 'token:hush'}\n");
	assert_int_equal(f->problems.n, 0);
	load(f, "sourceConfig:\n  replicateChan: x\n  pulsar: {address: 'pulsar://h:1', "
		"authPlugin: "
		"athenz, authParams: hush}\n");
	expect_problem(f,
		"3: sourceConfig.pulsar.authPlugin = \"athenz\": authPlugin \"athenz\" is "
		"not known: write "
		"org.apache.pulsar.client.impl.auth.AuthenticationToken or "
		"org.apache.pulsar.client.impl.auth.AuthenticationTls");
	assert_null(strstr(buf_cstr(&f->problems), "hush"));
}

static void test_stores(void **state)
{
	struct fixture *f = *state;

	load(f, SOURCE "metaStoreConfig: {storeType: redis}\n");
	expect_problem(f,
		"5: metaStoreConfig.storeType = \"redis\": not support the meta store type, "
		"valid type: [sqlite, etcd, mysql]");
	load(f, SOURCE "metaStoreConfig: {storeType: etcd}\n");
	expect_problem(f, "5: metaStoreConfig.etcd.address: empty; write e.g. [127.0.0.1:2379]");
	load(f, SOURCE "metaStoreConfig: {etcd: {address: [h:1]}}\n");
	expect_problem(f,
		"5: metaStoreConfig.storeType: not given, but etcd is set up; write storeType: "
		"etcd, or remove it to use sqlite");
	load(f, SOURCE "metaStoreConfig: {storeType: mysql}\n");
	expect_problem(f, "5: metaStoreConfig.mysqlSourceUrl: empty; write "
			  "user:password@tcp(host:3306)/database");
	load(f, SOURCE "metaStoreConfig: {storeType: mysql, "
		       "mysqlSourceUrl: 'u:hush@tcp(h:1)/d?charset=utf8&timeuot=1s'}\n");
	assert_int_equal(f->code, ERR_OK);
	assert_int_equal(f->c->store_kind, CONFIG_STORE_MYSQL);
	assert_non_null(strstr(
		buf_cstr(&f->warnings), "settings behind the ? that have no effect here: timeuot"));
	assert_null(strstr(buf_cstr(&f->warnings), "hush"));
	load(f, SOURCE "metaStoreConfig: {sqlitePath: /no/such/folder/x.db}\n");
	expect_problem(f,
		"5: metaStoreConfig.sqlitePath = \"/no/such/folder/x.db\": can't be written: No "
		"such file or directory; name a file in a folder this user may write to, or set "
		"metaStoreConfig.storeType: etcd");
	load(f, SOURCE "metaStoreConfig: {storeType: sqlite, sqlitePath: sub.db}\n");
	assert_int_equal(f->code, ERR_OK);
	assert_true(strstr(f->c->sqlite_path, f->dir) == f->c->sqlite_path);
}

static void test_warnings(void **state)
{
	struct fixture *f = *state;

	load(f, "maxTaskNum: 0\nlogLevel: loud\nadress: x\nzzz: 1\nenableReverse: true\naddress: "
		"a:1\n"
		"Address: b:2\ntiny: {a: 1}\n"
		"sourceConfig:\n  replicatChan: y\n  replicateChan: x\n  kafka: {adress: 1, "
		"address: 'h:1'}\n");
	assert_int_equal(f->code, ERR_OK);
	assert_int_equal(f->c->max_task_num, 100);
	assert_int_equal(f->c->log_level, LOG_INFO);
	assert_string_equal(f->c->address, "b:2");
	expect(f, &f->warnings, "1: maxTaskNum = \"0\": read as the default, 100");
	expect(f, &f->warnings,
		"2: logLevel = \"loud\": no such level, info is used; write debug, info, "
		"warn or error");
	expect(f, &f->warnings, "3: adress: unknown setting, ignored; did you mean address?");
	expect(f, &f->warnings, "4: zzz: unknown setting, ignored");
	expect(f, &f->warnings,
		"5: enableReverse: has no effect: replication back is a second service");
	expect(f, &f->warnings,
		"6: address: given again on line 7, which counts; remove one of them");
	expect(f, &f->warnings, "8: tiny: unknown setting, ignored");
	expect(f, &f->warnings,
		"10: sourceConfig.replicatChan: unknown setting, ignored; did you mean "
		"replicateChan?");
	expect(f, &f->warnings,
		"12: sourceConfig.kafka.adress: unknown setting, ignored; did you mean address?");
	expect(f, &f->warnings, "9: sourceConfig.etcd.address: not given, 127.0.0.1:2379 is used");
	assert_int_equal(lines(&f->warnings), 10);
}

static void test_wide_permissions(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;

	load(f, "sourceConfig: {replicateChan: x, etcd: {address: 'h:1'}, kafka: {address: 'h:1',\n"
		"  saslUsername: u, saslMechanisms: PLAIN, saslPassword: p}}\n");
	assert_string_equal(buf_cstr(&f->warnings), "");
	chmod(f->path, 0644);
	config_free(f->c);
	assert_int_equal(config_load(f->path, &f->c, &f->problems, &f->warnings, &e), ERR_OK);
	expect(f, &f->warnings,
		"1: holds a password and its permissions are wide (0644); chmod 640 or less");
}

static void test_retry_zero_means_defaults(void **state)
{
	struct fixture *f = *state;

	load(f, SOURCE "retry: {retryTimes: 0, initBackOff: 5, maxBackOff: 50}\n");
	assert_int_equal(f->c->retry_first_ms, 0);
	assert_int_equal(f->c->retry_most_ms, 0);
}

/* What changes nothing is read, checked and told; packer.maxMsgSize is in force within bounds. */
static void test_settings_without_effect(void **state)
{
	struct fixture *f = *state;

	load(f, SOURCE
		"batchMode: true\ndetectDeadLock: true\npacker: {timerInterval: 5, maxMsgSize: 1}\n"
		"retry: {initBackOff: 3}\ndryRun: true\n");
	assert_string_equal(f->c->no_effect, "batchMode, detectDeadLock, packer.timerInterval");
	assert_int_equal(f->c->packer_max_bytes, 64 << 10);
	assert_int_equal(f->c->retry_first_ms, 3000);
	assert_int_equal(f->c->retry_most_ms, 0);
	assert_true(f->c->dry_run);
}

static void test_unreadable(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;

	assert_int_equal(
		config_load("/no/such/file", &f->c, &f->problems, &f->warnings, &e), ERR_INVALID);
	assert_string_equal(buf_cstr(&f->problems),
		"/no/such/file: No such file or directory: give a readable file with --config\n");
	load(f, "a: [1\n");
	assert_int_equal(f->code, ERR_INVALID);
	load(f, "a: &x 1\n");
	expect_problem(f,
		"1: anchors and aliases (&name, *name) are not read; write the value out, or "
		"put it in quotes if it starts with & or *");
	load(f, "just text\n");
	expect_problem(f, "1: the file must hold settings, name: value");
	load(f, "");
	expect_problem(f,
		"1: sourceConfig.pulsar.address: the source's message queue is missing; write "
		"e.g. pulsar: {address: pulsar://127.0.0.1:6650} or kafka: {address: "
		"127.0.0.1:9092}");
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	char *text = xmalloc(1100000);

	memset(text, '#', 1099999);
	text[1099999] = '\0';
	load(f, text);
	free(text);
	assert_non_null(strstr(buf_cstr(&f->problems), "larger than 1048576 bytes"));
}

static void test_sample_is_valid(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(1 << 20);

	config_sample_write(&b);
	load(f, buf_cstr(&b));
	assert_string_equal(buf_cstr(&f->problems), "");
	assert_string_equal(buf_cstr(&f->warnings), "");
}

/* Every commented line of the sample must be a setting too. */
static void test_sample_uncommented_is_known(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(1 << 20);
	CLEANUP(buf_done)
	struct buf all = BUF_INIT(1 << 20);
	bool settings = false;

	config_sample_write(&b);
	for (const char *s = buf_cstr(&b); *s;) {
		size_t n = strcspn(s, "\n");
		settings |= strncmp(s, "address", 7) == 0;
		size_t skip = settings && strncmp(s, "# ", 2) == 0 ? 2 : 0;
		if (settings)
			buf_put(&all, s + skip, n + 1 - skip);
		s += n + 1;
	}
	load(f, buf_cstr(&all));
	assert_null(strstr(buf_cstr(&f->warnings), "unknown setting"));
	/* The sample's certificates are not there; nothing else is wrong. */
	for (const char *s = buf_cstr(&f->problems); *s; s += strcspn(s, "\n") + 1)
		assert_non_null(memmem(s, strcspn(s, "\n"), "\"/certs/", 8));
}

/* ---- who may use the API, and where secrets come from ---- */

#define QUEUE                                                                                      \
	"sourceConfig: {replicateChan: c, etcd: {address: '127.0.0.1:2379'}, "                     \
	"kafka: {address: 'h:1'}}\n"

static void test_api_settings(void **state)
{
	struct fixture *f = *state;

	load(f, QUEUE "api:\n  readToken: a-token-of-good-length\n");
	expect_problem(f, "3: api.writeToken: empty though api.readToken is set; give both, or "
			  "nobody could change anything");
	load(f, QUEUE "api:\n  writeToken: short\n  tlsKeyPath: /dev/null\n");
	expect_problem(f, "3: api.writeToken: a token has at least 16 characters and no blanks; "
			  "make one with \"openssl rand -hex 24\"");
	assert_null(strstr(buf_cstr(&f->problems), "short"));
	expect_problem(f, "4: api.tlsKeyPath = \"/dev/null\": not a file; give the path of a PEM "
			  "file");
	expect_problem(f, "4: api.tlsKeyPath = \"/dev/null\": certificate and key belong "
			  "together; give both");
	load(f, QUEUE "api: {writeToken: a-token-of-good-length, readToken: "
		      "a-token-of-good-length}\n");
	expect_problem(f, "2: api.readToken: the same as api.writeToken; make another one");
}

static void test_verify_settings(void **state)
{
	struct fixture *f = *state;

	load(f, "sourceConfig:\n  {replicateChan: c, etcd: {address: '127.0.0.1:2379'}, "
		"kafka: {address: 'h:1'}, milvus: {uri: 'ftp://h', token: 'root:secret', "
		"tlsCertPath: /dev/null}}\nverify: {interval: 60}\n");
	expect_problem(f, "2: sourceConfig.milvus.uri = \"ftp://h\": \"ftp://h\" is no address: "
			  "http(s)://host:port or host:port is expected");
	expect_problem(f, "2: sourceConfig.milvus.tlsCertPath = \"/dev/null\": mutual TLS needs "
			  "tlsCACertPath, tlsCertPath and tlsKeyPath");
	assert_null(strstr(buf_cstr(&f->problems), "secret"));
	load(f, QUEUE "verify: {interval: 60}\n");
	expect_problem(f, "2: verify.interval: the rolling check reads the source itself; give "
			  "sourceConfig.milvus.uri");
	load(f, QUEUE);
	assert_int_equal(f->code, ERR_OK);
	assert_int_equal(f->c->verify_interval_ms, 0);
	assert_string_equal(f->c->source_milvus.uri, "");
}

static void test_environment(void **state)
{
	struct fixture *f = *state;

	setenv("CDC_TEST_TOKEN", "a-token-of-good-length", 1);
	setenv("CDC_TEST_PORT", "99", 1);
	unsetenv("CDC_TEST_NOTHING");
	load(f, QUEUE "address: 'localhost:${CDC_TEST_PORT}'\n"
		      "api: {writeToken: '${CDC_TEST_TOKEN}', readToken: "
		      "'x-$${CDC_TEST_TOKEN}-${}'}\n");
	assert_int_equal(f->code, ERR_OK);
	assert_string_equal(f->c->address, "localhost:99");
	assert_string_equal(f->c->api_write_token, "a-token-of-good-length");
	assert_string_equal(f->c->api_read_token, "x-${CDC_TEST_TOKEN}-${}");
	load(f, QUEUE "api:\n  writeToken: '${CDC_TEST_NOTHING}'\n");
	expect_problem(f, "3: writeToken: ${CDC_TEST_NOTHING} is not set in the environment; set "
			  "it, or write $${CDC_TEST_NOTHING} if these characters are meant");
}

static void test_secret_files(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *path = xasprintf("%s/token", f->dir);
	CLEANUP(freep) char *text = xasprintf(QUEUE "api:\n  writeTokenFile: %s\n", path);
	CLEANUP(freep)
	char *both = xasprintf("%s  writeToken: a-token-of-good-length\n", text);
	CLEANUP(freep)
	char *gone = xasprintf("3: api.writeTokenFile = \"%s\": can't be read: No such file or "
			       "directory",
		path);

	load(f, text);
	expect_problem(f, gone);
	FILE *file = fopen(path, "w");
	fputs("a-token-of-a-file\n", file);
	fclose(file);
	load(f, text);
	assert_int_equal(f->code, ERR_OK);
	assert_string_equal(f->c->api_write_token, "a-token-of-a-file");
	assert_string_equal(buf_cstr(&f->warnings), "");
	load(f, both);
	expect_problem(f, "3: api.writeTokenFile: the secret itself is given as well; remove one "
			  "of them");
	file = fopen(path, "w");
	fputs("two\nlines\n", file);
	fclose(file);
	load(f, text);
	assert_int_equal(f->code, ERR_INVALID);
	assert_non_null(strstr(buf_cstr(&f->problems), "holds no secret: one line"));
	load(f, QUEUE "addressFile: x\n"); /* of a setting that is no secret */
	assert_int_equal(f->code, ERR_OK);
	assert_non_null(strstr(buf_cstr(&f->warnings), "unknown setting"));
	unlink(path);
}

static void test_doc_has_every_setting(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	config_doc_write(&b);
	for (size_t i = 0; i < config_rows_count; i++)
		assert_non_null(strstr(buf_cstr(&b), config_rows[i].path));
	assert_false(docs_write("nothing", &b));
}

static void test_distance(void **state)
{
	(void)state;
	assert_int_equal(config_name_distance("adress", "address"), 1);
	assert_int_equal(config_name_distance("ABC", "abc"), 0);
	assert_int_equal(config_name_distance("", "abc"), 3);
	assert_int_equal(config_name_distance("kitten", "sitting"), 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_smallest),
		T(test_newer_spelling),
		T(test_modes_of_the_reference),
		T(test_older_spelling),
		T(test_older_wins_over_newer),
		T(test_all_problems_at_once),
		T(test_secrets_are_masked),
		T(test_pulsar),
		T(test_pulsar_auth),
		T(test_stores),
		T(test_warnings),
		T(test_wide_permissions),
		T(test_retry_zero_means_defaults),
		T(test_settings_without_effect),
		T(test_unreadable),
		T(test_too_large),
		T(test_sample_is_valid),
		T(test_sample_uncommented_is_known),
		T(test_api_settings),
		T(test_verify_settings),
		T(test_environment),
		T(test_secret_files),
		cmocka_unit_test(test_doc_has_every_setting),
		cmocka_unit_test(test_distance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
