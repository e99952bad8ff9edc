/* The requests of POST /cdc: names, fields, and what each field is for. */
#pragma once

#include "server/api/api_decode.h"

/* The data of every request but create, which fills a struct task. Strings are owned. */
struct api_args {
	char *task_id;
	bool ignore_not_found;
	char *operation;
	const json_t *params; /* borrowed from the request */
};

enum api_request {
	API_CREATE,
	API_DELETE,
	API_PAUSE,
	API_RESUME,
	API_GET,
	API_POSITION,
	API_LIST_TASKS,
	API_MAINTENANCE,
	API_DOCTOR, /* ours, as all behind it */
	API_REQUEST_COUNT
};

struct api_request_row {
	const char *name;
	const struct api_struct *fields;
	const char *doc;
	bool reads; /* changes nothing: the read token is enough */
};

extern const struct api_request_row api_requests[API_REQUEST_COUNT];
