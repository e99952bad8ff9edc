/* Every cap of the process in one place, with its reason. Bytes unless the name says otherwise. */
#pragma once

enum {
	/* Control plane */
	LIMIT_HTTP_BODY = 4 << 20,        /* a create request with thousands of names is < 1 MiB */
	LIMIT_HTTP_CONNECTIONS = 64,      /* count */
	LIMIT_CONFIG_FILE = 1 << 20,
	LIMIT_RECORD = 4 << 20,           /* one stored record */
	LIMIT_GRPC_RECV = 256 << 20,      /* one answer: etcd ranges of big clusters */
	LIMIT_GRPC_HEADERS = 64 << 10,
	LIMIT_GRPC_WRITE_QUEUE = 512 << 10,
	LIMIT_ETCD_TXN_OPS = 100,         /* count; etcd's own default is 128 */

	/* Data plane */
	LIMIT_PROCESS_BUDGET = 128 << 20, /* messages held between broker and ack */
	LIMIT_READER_FLOOR = 2 << 20,     /* what one reader may hold even when the budget is used up */
	LIMIT_CALL_BYTES = 16 << 20,      /* one ReplicateMessage; the target's default limit is 64 MiB */
	LIMIT_CALL_MSGS = 2048,           /* count; the target appends one by one */
	LIMIT_MESSAGE = 64 << 20,         /* one source message */
	LIMIT_LANE_BYTES = 24 << 20,      /* queued by one reader for one target channel */
	LIMIT_CHASERS_PER_CHANNEL = 4,    /* catch-up readers besides the main one of a pchannel */
	LIMIT_DDL_WORKERS = 8,            /* threads */
	LIMIT_OP_EVENTS = 1024,           /* operations read ahead per task */
};
