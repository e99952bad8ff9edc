/* Frames and commands as a broker sends them. */
#include <assert.h>

#include "client/pulsar/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct slice all, struct slice s)
{
	assert(!s.n || (s.p >= all.p && s.p + s.n <= all.p + all.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice command, rest, all = slice_of(data, size);
	struct pulsar_cmd c;
	size_t n;

	if (size < PULSAR_HEAD_BYTES || pulsar_frame_size(data, size, &n, NULL) ||
		n > size - PULSAR_HEAD_BYTES)
		return 0;
	if (pulsar_frame_split(slice_of(data + PULSAR_HEAD_BYTES, n), &command, &rest, NULL))
		return 0;
	inside(all, command);
	inside(all, rest);
	if (pulsar_cmd_read(&c, command, NULL))
		return 0;
	inside(command, c.text);
	inside(command, c.url);
	inside(command, c.url_tls);
	inside(command, c.version);
	if (c.failed) {
		struct err e = ERR_INIT;
		assert(pulsar_cmd_error(&c, &e) != ERR_OK && e.text[0]);
	}
	return 0;
}
