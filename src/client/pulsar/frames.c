/* Bytes from the socket to frames, and frames to whom they concern. Big frames are read from the
 * socket straight to where they stay. @thread I/O */
#include <string.h>

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/pulsar/pulsar_priv.h"

enum { DIRECT_BYTES = 16 << 10 };

/* ---- to whom a frame goes ---- */

static void lose_locked(struct pulsar_conn *c, struct pulsar_consumer *cs, enum err_code code,
	const char *text) REQUIRES(c->p->loop.mtx)
{
	if (!cs->lost) {
		err_clear(&cs->why);
		err_set(&cs->why, code, "Pulsar broker %s: %s",
			c->proxy_to ? c->proxy_to : c->address, text);
	}
	cs->lost = true;
	cond_broadcast(&cs->cond);
}

static bool is_full(const struct pulsar *p, const struct pulsar_consumer *cs, size_t n)
{
	if (list_empty(&cs->queue))
		return false;
	return cs->queued + n > LIMIT_PULSAR_QUEUE ||
	       (p->queued + n > LIMIT_PULSAR_QUEUES && cs->queued + n > LIMIT_PULSAR_SHARE);
}

/* What does not fit is dropped with all that follows: the reader subscribes again behind the last
 * entry it got. Stopping to read instead would hold up the connection's other topics. */
static void enqueue_locked(struct pulsar_conn *c, struct pulsar_consumer *cs,
	struct pulsar_msg *frame) REQUIRES(c->p->loop.mtx)
{
	if (!cs->lost && is_full(c->p, cs, frame->n))
		lose_locked(c, cs, ERR_BUSY, "entries are bigger than expected");
	if (cs->lost) {
		pulsar_msg_free(frame);
		return;
	}
	bool wake = list_empty(&cs->queue);
	list_push(&cs->queue, &frame->link);
	cs->queued += frame->n;
	c->p->queued += frame->n;
	if (wake)
		cond_signal(&cs->cond);
}

static void to_consumer(
	struct pulsar_conn *c, const struct pulsar_cmd *cmd, struct pulsar_msg *frame)
{
	mutex_lock(&c->p->loop.mtx);
	struct pulsar_consumer *cs = umap_get(&c->consumers, cmd->consumer);
	if (!cs) {
		pulsar_msg_free(frame);
	} else if (cmd->type == PULSAR_MESSAGE) {
		frame->id = cmd->id;
		enqueue_locked(c, cs, frame);
	} else {
		lose_locked(c, cs, ERR_UNAVAILABLE, "the broker gives the topic away");
		pulsar_msg_free(frame);
	}
	mutex_unlock(&c->p->loop.mtx);
}

static void to_caller(struct pulsar_conn *c, const struct pulsar_cmd *cmd, struct pulsar_msg *frame)
{
	mutex_lock(&c->p->loop.mtx);
	list_foreach (it, &c->calls) {
		struct pulsar_call *k = LIST_ITEM(it, struct pulsar_call, link);
		if (k->request != cmd->request)
			continue;
		list_del(&k->link);
		k->answer = *cmd;
		k->frame = TAKE(frame);
		k->done = true;
		cond_broadcast(&k->cond);
		break;
	}
	mutex_unlock(&c->p->loop.mtx);
	pulsar_msg_free(frame); /* the caller has given up */
}

static void send_pong(struct pulsar_conn *c)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);

	pulsar_put_pong(&b);
	wq_put_copy(&c->wq, buf_slice(&b));
}

/* The broker wants to see the credentials again before they expire. */
static enum err_code answer_challenge(struct pulsar_conn *c, struct err *e)
{
	CLEANUP(buf_done) struct buf data = BUF_INIT(PULSAR_COMMAND_MOST);
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);

	if (pulsar_auth_data(&c->p->auth, &data, e))
		return e->code;
	const struct pulsar_hello h = {.version = "milvus-cdc",
		.auth_method = pulsar_auth_method(&c->p->auth),
		.auth_data = buf_slice(&data)};
	pulsar_put_challenge_answer(&b, &h);
	wq_put_copy(&c->wq, buf_slice(&b));
	return ERR_OK;
}

static void open_up(struct pulsar_conn *c, const struct pulsar_cmd *cmd)
{
	if (cmd->max_message_bytes)
		c->frame_most = MIN(MAX(c->p->max_message_bytes, cmd->max_message_bytes),
					(size_t)LIMIT_MESSAGE) +
				PULSAR_COMMAND_MOST;
	pulsar_conn_set_state(c, CONN_OPEN);
	c->received_ms = time_mono_ms();
	loop_timer_set(&c->p->loop, &c->timer, c->received_ms + c->p->quiet_ms / 2);
	log_debug(&c->p->log, "%s: connected, %.*s", c->address, (int)MIN(cmd->version.n, 64U),
		(const char *)cmd->version.p);
}

/* Before OPEN a broker says CONNECTED, a challenge, or no. */
static enum err_code on_hello(struct pulsar_conn *c, const struct pulsar_cmd *cmd, struct err *e)
{
	if (cmd->type == PULSAR_CONNECTED)
		open_up(c, cmd);
	else if (cmd->type == PULSAR_CHALLENGE)
		return answer_challenge(c, e);
	else if (cmd->type == PULSAR_ERROR)
		return pulsar_cmd_error(cmd, e);
	return ERR_OK;
}

/* Takes frame. */
static enum err_code on_command(struct pulsar_conn *c, const struct pulsar_cmd *cmd,
	struct pulsar_msg *frame, struct err *e)
{
	enum err_code code = ERR_OK;

	switch (cmd->type) {
	case PULSAR_MESSAGE:
	case PULSAR_CLOSE_CONSUMER:
		to_consumer(c, cmd, frame);
		return ERR_OK;
	case PULSAR_PING:
		send_pong(c);
		break;
	case PULSAR_CHALLENGE:
		code = answer_challenge(c, e);
		break;
	default:
		if (cmd->has_request) {
			to_caller(c, cmd, frame);
			return ERR_OK;
		}
		break;
	}
	pulsar_msg_free(frame);
	return code;
}

/* Takes frame. */
static enum err_code on_frame(struct pulsar_conn *c, struct pulsar_msg *frame, struct err *e)
{
	struct slice command, rest;
	struct pulsar_cmd cmd;

	if (pulsar_frame_split(slice_of(frame->bytes, frame->n), &command, &rest, e) ||
		pulsar_cmd_read(&cmd, command, e)) {
		pulsar_msg_free(frame);
		/* A new connection starts at a frame's beginning. */
		e->code = ERR_UNAVAILABLE;
		return e->code;
	}
	frame->payload = rest;
	if (c->state == CONN_OPEN)
		return on_command(c, &cmd, frame, e);
	enum err_code code = on_hello(c, &cmd, e);
	pulsar_msg_free(frame);
	return code;
}

/* What stands before an entry that is too big tells which topic's it is: only that one is lost, not
 * the connection. Anything else of that size is no command. Takes frame. */
static enum err_code on_too_big(struct pulsar_conn *c, struct pulsar_msg *frame, struct err *e)
{
	struct slice command, rest;
	struct pulsar_cmd cmd;
	char id[PULSAR_ID_TEXT];
	struct err why = c->too_big;

	err_clear(&c->too_big);
	bool entry = !pulsar_frame_split(slice_of(frame->bytes, frame->n), &command, &rest, NULL) &&
		     !pulsar_cmd_read(&cmd, command, NULL) && cmd.type == PULSAR_MESSAGE;
	pulsar_msg_free(frame);
	if (!entry) {
		c->skip = 0;
		return err_set(e, why.code, "%s", why.text);
	}
	pulsar_id_text(&cmd.id, id);
	err_ctx(&why, "message %s", id);
	mutex_lock(&c->p->loop.mtx);
	struct pulsar_consumer *cs = umap_get(&c->consumers, cmd.consumer);
	if (cs)
		lose_locked(c, cs, why.code, why.text);
	mutex_unlock(&c->p->loop.mtx);
	return ERR_OK;
}

/* ---- assembling ---- */

static struct pulsar_msg *frame_new(size_t n)
{
	struct pulsar_msg *m = xmalloc(sizeof(*m) + n);

	*m = (struct pulsar_msg){.n = n};
	list_init(&m->link);
	return m;
}

static enum err_code frame_done(struct pulsar_conn *c, struct err *e)
{
	if (!c->frame || c->frame_n < c->frame->n)
		return ERR_OK;
	c->head_n = 0;
	return c->too_big.code ? on_too_big(c, TAKE(c->frame), e) : on_frame(c, TAKE(c->frame), e);
}

static size_t fill(uint8_t *to, size_t have, size_t want, struct slice *in)
{
	size_t n = MIN(want - have, in->n);

	memcpy(to + have, in->p, n);
	*in = slice_of(in->p + n, in->n - n);
	return have + n;
}

static enum err_code frame_begin(struct pulsar_conn *c, struct err *e)
{
	size_t n, keep;

	if (pulsar_frame_size(c->head, c->frame_most, &n, &c->too_big) &&
		(c->too_big.code != ERR_LIMIT || c->state != CONN_OPEN)) {
		*e = c->too_big;
		return e->code;
	}
	keep = c->too_big.code ? PULSAR_COMMAND_MOST : n;
	c->skip = n - keep;
	c->frame = frame_new(keep);
	c->frame_n = 0;
	return ERR_OK;
}

enum err_code pulsar_conn_feed(struct pulsar_conn *c, struct slice in, struct err *e)
{
	while (in.n && c->state != CONN_DEAD) {
		if (!c->frame && c->skip) {
			size_t n = MIN(c->skip, in.n);
			in = slice_of(in.p + n, in.n - n);
			c->skip -= n;
			continue;
		}
		if (!c->frame) {
			c->head_n = fill(c->head, c->head_n, sizeof(c->head), &in);
			if (c->head_n < sizeof(c->head))
				break;
			if (frame_begin(c, e))
				return e->code;
		}
		c->frame_n = fill(c->frame->bytes, c->frame_n, c->frame->n, &in);
		if (frame_done(c, e))
			return e->code;
	}
	return ERR_OK;
}

uint8_t *pulsar_conn_direct(struct pulsar_conn *c, size_t *ret_n)
{
	if (!c->frame || c->frame->n - c->frame_n < DIRECT_BYTES)
		return NULL;
	*ret_n = c->frame->n - c->frame_n;
	return c->frame->bytes + c->frame_n;
}

enum err_code pulsar_conn_direct_done(struct pulsar_conn *c, size_t n, struct err *e)
{
	c->frame_n += n;
	return frame_done(c, e);
}
