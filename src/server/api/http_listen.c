#include "server/api/http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/config/address.h"

enum { BACKLOG = 128 };

/* -1 with errno. */
static int open_one(const struct addrinfo *ai)
{
	int yes = 1, no = 0;

	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

/* IPv6 first where no host is given: it serves IPv4 as well. */
static int open_any(const struct addrinfo *list, bool prefer_v6)
{
	int fd = -1;

	for (const struct addrinfo *ai = list; prefer_v6 && ai && fd < 0; ai = ai->ai_next)
		if (ai->ai_family == AF_INET6)
			fd = open_one(ai);
	for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
		fd = open_one(ai);
	return fd;
}

static int port_of(int fd)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t n = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &n))
		return 0;
	if (sa.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)&sa)->sin6_port);
	return ntohs(((const struct sockaddr_in *)(const void *)&sa)->sin_port);
}

enum err_code http_listen(const char *address, int *ret_fd, int *ret_port, struct err *e)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char host[ADDRESS_HOST_BYTES], service[8];
	int port;

	if (!address_split(address, host, &port))
		return err_set(e, ERR_INVALID, "address %s is not host:port", address);
	snprintf(service, sizeof(service), "%d", port);
	int r = getaddrinfo(*host ? host : NULL, service, &hints, &list);
	if (r)
		return err_set(e, ERR_INVALID, "address %s: %s", address, gai_strerror(r));
	int fd = open_any(list, !*host);
	int why = errno;
	freeaddrinfo(list);
	if (fd < 0)
		return err_errno(e, why, "the HTTP listener can't use address %s", address);
	*ret_fd = fd;
	*ret_port = port_of(fd);
	return ERR_OK;
}
