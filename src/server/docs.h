/* Pages and samples generated from the tables, so that they can't disagree with the code. */
#pragma once

#include "base/buf.h"

void config_doc_write(struct buf *out);    /* docs/config.md */
void config_sample_write(struct buf *out); /* configs/cdc.yaml */
void api_doc_write(struct buf *out);       /* docs/api.md */
void doctor_doc_write(struct buf *out);    /* docs/doctor.md */

/* By name: config, sample, metrics, api, doctor. false if there is no such page. */
bool docs_write(const char *name, struct buf *out);
