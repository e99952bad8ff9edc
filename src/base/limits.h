/* Every cap of the process in one place, with its reason. Bytes unless the name says otherwise. */
#pragma once

enum {
	/* Control plane */
	LIMIT_HTTP_BODY = 4 << 20,        /* a create request with thousands of names is < 1 MiB */
	LIMIT_HTTP_CONNECTIONS = 64,      /* count */
	LIMIT_HTTP_CONNECTIONS_EACH = 48, /* of them by one client address */
	LIMIT_CONFIG_FILE = 1 << 20,
	LIMIT_RECORD = 4 << 20,      /* one stored record */
	LIMIT_GRPC_RECV = 256 << 20, /* one answer: etcd ranges of big clusters */
	LIMIT_GRPC_HEADERS = 64 << 10,
	LIMIT_GRPC_WRITE_QUEUE = 512 << 10,
	LIMIT_GRPC_STREAM_WINDOW = 4 << 20,  /* what a peer may send ahead on one call */
	LIMIT_GRPC_CONN_WINDOW = 16 << 20,   /* the same for all calls of a connection */
	LIMIT_GRPC_STREAM_BACKLOG = 4 << 20, /* messages of a stream nobody has read yet */
	LIMIT_GRPC_STREAM_SEND = 16 << 20,   /* written to a stream, not yet taken by the peer */
	LIMIT_ETCD_TXN_OPS = 100,            /* count; etcd's own default is 128 */

	/* Data plane */
	LIMIT_PROCESS_BUDGET = 128 << 20, /* messages held between broker and ack */
	LIMIT_READER_FLOOR = 2 << 20, /* what one reader may hold even when the budget is used up */
	/* one ReplicateMessage; the target's default limit is 64 MiB */
	LIMIT_CALL_BYTES = 16 << 20,
	LIMIT_CALL_MSGS = 2048,         /* count; the target appends one by one */
	LIMIT_BOUND_LATE = 64,          /* streams with a bound of their own in one record */
	LIMIT_MESSAGE = 64 << 20,       /* one source message */
	LIMIT_LANE_BYTES = 24 << 20,    /* queued by one reader for one target channel */
	LIMIT_CHASERS_PER_CHANNEL = 4,  /* catch-up readers besides the main one of a pchannel */
	LIMIT_TOPIC_PREFETCH = 2 << 20, /* fetched from Kafka ahead of the reader, per topic */
	/* asked of Kafka at once, per topic; one message may be more */
	LIMIT_TOPIC_FETCH = 1 << 20,
	LIMIT_CONN_FETCH = 16 << 20,    /* the same for all topics of a connection */
	LIMIT_CONN_TOPICS = 64,         /* count; librdkafka looks topics up one by one */
	LIMIT_PULSAR_QUEUES = 64 << 20, /* fetched from Pulsar ahead of the readers, all topics */
	LIMIT_PULSAR_QUEUE = 8 << 20,   /* the same of one topic, in any case */
	LIMIT_PULSAR_SHARE = 256 << 10, /* what one topic may hold when all of it is used up */
	LIMIT_PULSAR_PERMITS = 256,     /* count; messages a broker may send ahead, per topic */
	LIMIT_PULSAR_HELD = 64 << 20,   /* pieces of chunked messages and what waits behind them */
	LIMIT_DDL_WORKERS = 8,          /* threads a target session */
	LIMIT_KAFKA_QUEUE = 32 << 20,   /* written to Kafka and not confirmed, per target topic */
	LIMIT_KAFKA_RECORDS = 50000,    /* count, the same */
	LIMIT_KAFKA_RECORD = 128 << 20, /* one record: a source message in base64 */
	LIMIT_OP_EVENTS = 1024,         /* operations read ahead per task */
};
