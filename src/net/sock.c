#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

enum err_code sock_split(
	const char *address, char host[SOCK_HOST_BYTES], char port[SOCK_PORT_BYTES], struct err *e)
{
	const char *colon = strrchr(address, ':');
	const char *from = address, *to = colon;
	uint64_t number;

	if (!colon || !str_to_u64(colon + 1, &number) || number < 1 || number > 65535)
		return err_set(e, ERR_INVALID, "address \"%s\" has no port", address);
	if (*from == '[') {
		from++;
		to--;
		if (to < from || *to != ']')
			return err_set(e, ERR_INVALID, "address \"%s\" is malformed", address);
	} else if (memchr(from, ':', (size_t)(to - from))) {
		return err_set(e, ERR_INVALID, "address \"%s\" needs [] around IPv6", address);
	}
	size_t n = (size_t)(to - from);
	if (!n || n >= SOCK_HOST_BYTES)
		return err_set(e, ERR_INVALID, "address \"%s\" has no usable host", address);
	memcpy(host, from, n);
	host[n] = '\0';
	snprintf(port, SOCK_PORT_BYTES, "%u", (unsigned)number);
	return ERR_OK;
}

bool sock_is_numeric(const char *host)
{
	struct in6_addr a;
	/* A zone (fe80::1%eth0) also needs no name server. */
	return inet_pton(AF_INET, host, &a) == 1 || strchr(host, ':');
}

enum err_code sock_resolve(
	const char *host, const char *port, struct sock_addrs *ret_addrs, struct err *e)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;

	ret_addrs->n = 0;
	if (sock_is_numeric(host))
		hints.ai_flags |= AI_NUMERICHOST;
	int r = getaddrinfo(host, port, &hints, &found);
	if (r) {
		const char *why = r == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(r);
		return err_set_origin(e, ERR_UNAVAILABLE, r, "resolve %s: %s", host, why);
	}
	for (struct addrinfo *a = found; a && ret_addrs->n < SOCK_ADDRS; a = a->ai_next) {
		struct sock_addr *to = &ret_addrs->v[ret_addrs->n++];
		memcpy(&to->ss, a->ai_addr, a->ai_addrlen);
		to->n = a->ai_addrlen;
	}
	freeaddrinfo(found);
	return ERR_OK;
}

void sock_text(const struct sock_addr *a, char out[SOCK_TEXT_BYTES])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (a->ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)&a->ss;
		inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
		snprintf(out, SOCK_TEXT_BYTES, "[%s]:%u", host, ntohs(in->sin6_port));
		return;
	}
	const struct sockaddr_in *in = (const void *)&a->ss;
	inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
	snprintf(out, SOCK_TEXT_BYTES, "%s:%u", host, ntohs(in->sin_port));
}

enum err_code sock_connect(const struct sock_addr *a, int *ret_fd, struct err *e)
{
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, errno, "socket");
	if (connect(fd, (const struct sockaddr *)&a->ss, a->n) && errno != EINPROGRESS) {
		err_set_origin(e, ERR_UNAVAILABLE, errno, "%s", strerrordesc_np(errno));
		close(fd);
		return ERR_UNAVAILABLE;
	}
	*ret_fd = fd;
	return ERR_OK;
}

int sock_connect_result(int fd)
{
	int err = 0;
	socklen_t n = sizeof(err);
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) ? errno : err;
}

/* The send buffer is left to the kernel: a fixed SO_SNDBUF turns its tuning off, which costs
 * throughput at long round trips. Failures here only cost comfort. */
void sock_tune(int fd, int64_t timeout_ms)
{
	int on = 1;
	unsigned timeout = (unsigned)MIN(timeout_ms, 600000);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}
