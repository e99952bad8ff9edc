/* The settings of cdc.yaml, one row each: the loader, the sample file and docs/config.md are made
 * from these rows. Order is the order of the sample. */
#pragma once

#include "server/config/config.h"

enum config_type {
	CONFIG_STRING,
	CONFIG_INT,
	CONFIG_BOOL,
	CONFIG_LIST,    /* of strings; offset is char **, count_offset size_t */
	CONFIG_PAIRS,   /* a map of strings; offset is char **: key, value, ..., NULL */
	CONFIG_LEVEL,   /* enum log_level */
	CONFIG_STORE,   /* enum config_store */
	CONFIG_NOTHING, /* read for compatibility, without effect */
};

enum {
	CONFIG_SECRET = 1,     /* never shown */
	CONFIG_FILE = 2,       /* names a file that must be readable */
	CONFIG_ACTIVE = 4,     /* stands uncommented in the sample */
	CONFIG_ZERO_DEF = 8,   /* 0 means the default, as in the reference */
	CONFIG_NO_EFFECT = 16, /* read and checked, changes nothing */
};

struct config_row {
	const char *path;  /* dots between levels */
	const char *alias; /* the older spelling, NULL if there is none */
	enum config_type type;
	unsigned flags;
	size_t offset, count_offset; /* in struct config */
	const char *def;             /* default as text; "" = empty */
	const char *sample;          /* what the sample shows, NULL = the default */
	int64_t min, max;            /* CONFIG_INT */
	int64_t scale;               /* CONFIG_INT: the struct holds value * scale */
	const char *doc;
};

extern const struct config_row config_rows[];
extern const size_t config_rows_count;
