/* Pages and samples generated from the tables, so that they can't disagree with the code. */
#pragma once

#include "base/buf.h"

void config_doc_write(struct buf *out);    /* docs/config.md */
void config_sample_write(struct buf *out); /* configs/cdc.yaml */
void api_doc_write(struct buf *out);       /* docs/api.md */
void api_openapi_write(struct buf *out);   /* docs/openapi.yaml */
/* What a task's detail holds: a part of both. */
void api_detail_write_doc(struct buf *out);
void api_detail_write_schema(struct buf *out);
void doctor_doc_write(struct buf *out);     /* docs/doctor.md */
void cli_doc_write(struct buf *out);        /* docs/cli.md */
void cli_man_write(struct buf *out);        /* docs/milvus-cdc.1 */
void cli_completion_write(struct buf *out); /* for bash */

/* By name: config, sample, metrics, api, openapi, doctor, cli, man. false if there is no such
 * page. */
bool docs_write(const char *name, struct buf *out);
