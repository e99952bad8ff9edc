/* Operations of the source's replicate channel (databases, index, load, flush, users, ...),
 * forwarded to a target complete: only names and base.replicateInfo change, every other byte
 * passes. A table says per type which method it is and where its names stand. No I/O. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/iov.h"
#include "model/dml.h"

enum op_flags {
	OP_DATABASE = 1, /* about a database itself; call it on the default database */
	OP_RBAC = 2,     /* users, roles, privileges: only for tasks with enable_user_role */
	OP_GRANT = 4,    /* RBAC that may name a database and a collection */
	OP_ANY_DB = 8,   /* the database is "*": it is left alone */
	OP_INDEX = 16,
	OP_LOAD = 32, /* load and release */
	OP_ALIAS = 64,
	OP_RENAME = 128, /* collections[0] becomes collections[1], perhaps in new_db */
};

struct op_row;

/* Slices point into the payload, arrays into the arena. */
struct op {
	int type;           /* enum msg_type */
	const char *method; /* of MilvusService */
	/* When it happened: where a replicator sent it, at that one's source. 0 = not said: what a
	 * proxy of 2.4 and later does itself, without a task of its own (users, roles, grants), it
	 * writes down with nothing but a type. */
	uint64_t ts;
	bool is_replicate;         /* a replicator sent it, not a user */
	struct slice replicate_id; /* which one, in data migration; else empty */
	unsigned flags;
	struct slice db;     /* empty = the default database, or none */
	struct slice new_db; /* OP_RENAME; empty = the same */
	struct slice alias;  /* OP_ALIAS; not mapped */
	struct slice *collections;
	size_t n_collections;
	struct slice *partitions;
	size_t n_partitions;
	struct slice payload;
	const struct op_row *row; /* private */
};

/* Reads a message of the replicate channel. UNSUPPORTED, with the type's number and why, for what
 * can't be forwarded; MALFORMED, also for more names than a cluster can hold. */
NODISCARD enum err_code ops_read(
	struct op *op, struct slice payload, struct arena *a, struct err *e);

/* The names on the target. */
struct op_names {
	const char *db;                 /* "" = the default database */
	const char *const *collections; /* beside op->collections */
	const char *new_db;             /* OP_RENAME; NULL = as db */
	const char *replicate_id;       /* goes into base.replicateInfo; NULL or "" = none */
};

/* Appends the request for op->method to out. out points into op->payload and the arena. Ids of the
 * source (AlterDatabase, AlterCollection) are left out: the target goes by the names. MALFORMED,
 * with out as it was, when the payload can't be spliced. */
NODISCARD enum err_code ops_forward(const struct op *op, const struct op_names *to, struct arena *a,
	struct iov *out, struct err *e);

/* What the target's answer to an operation means. An operation may come a second time (after a
 * crash, or told by etcd as well), so that "it is there" ends a create and "it is not" a drop. */
enum op_verdict {
	OP_DONE,    /* it is as the operation wants it, whoever did it */
	OP_FAILED,  /* the error stands */
	OP_INSTEAD, /* forward *ret_method instead, with the same names */
};
enum op_verdict ops_verdict(const struct op *op, enum err_code code, const char **ret_method);

/* The request by which UpdateCredential, refused for its old password, asks whether the new one is
 * set already: the new password stands for the old one too. */
NODISCARD enum err_code ops_ask_password(
	const struct op *op, struct arena *a, struct iov *out, struct err *e);

/* Whether a message of this type is an operation we can forward. */
bool ops_supports(int type);
