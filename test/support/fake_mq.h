/* A message queue in memory behind struct mq: topics of messages with 8-byte ids, faults,
 * latency. */
#pragma once

#include "base/err.h"
#include "source/mq.h"

struct fake_mq;

struct fake_mq *fake_mq_new(void);
/* All readers must be closed; returns the number of messages nobody freed. */
int fake_mq_free(struct fake_mq *f);
struct mq *fake_mq_queue(struct fake_mq *f);

/* Appends a message; props: key, value, ..., NULL, or NULL. Returns its number. @thread any, as all
 * below */
int64_t fake_mq_put(
	struct fake_mq *f, const char *topic, struct slice payload, const char *const *props);
/* Makes a topic without messages. */
void fake_mq_make(struct fake_mq *f, const char *topic);
struct mq_id fake_mq_id(int64_t number);
int64_t fake_mq_number(const struct mq_id *id);
/* Messages below first are no longer kept. */
void fake_mq_trim(struct fake_mq *f, const char *topic, int64_t first);
/* The next `times` calls fail with code. */
void fake_mq_fail_open(struct fake_mq *f, enum err_code code, int times);
void fake_mq_fail_next(struct fake_mq *f, enum err_code code, int times);
/* Each next call takes up to so long before it looks. */
void fake_mq_latency_us(struct fake_mq *f, unsigned most_us);
/* Messages cost this much instead of their size; 0 = their size. */
void fake_mq_cost(struct fake_mq *f, size_t bytes);

int fake_mq_readers(struct fake_mq *f); /* open now */
int fake_mq_opens(struct fake_mq *f);   /* ever */
int fake_mq_alive(struct fake_mq *f);   /* messages out */
