#include "server/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"

/* A path, or '@' for the abstract namespace, which is a 0 byte. */
static bool address_of(const char *text, struct sockaddr_un *sa, socklen_t *ret_n)
{
	size_t n = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || n >= sizeof(sa->sun_path))
		return false;
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(sa->sun_path, text, n);
	if (text[0] == '@')
		sa->sun_path[0] = '\0';
	*ret_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (text[0] == '/'));
	return true;
}

enum err_code notify_send(const char *text, struct err *e)
{
	const char *where = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa;
	socklen_t n = 0;

	if (!where || !*where)
		return ERR_OK;
	if (!address_of(where, &sa, &n))
		return err_set(e, ERR_INVALID, "NOTIFY_SOCKET=%s is no socket", where);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, errno, "NOTIFY_SOCKET");
	ssize_t sent = sendto(
		fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)(void *)&sa, n);
	int why = errno;
	close(fd);
	return sent < 0 ? err_errno(e, why, "NOTIFY_SOCKET=%s", where) : ERR_OK;
}

int64_t notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	int64_t n = 0, whose = 0;

	if (!usec || !str_to_i64(usec, &n) || n <= 0)
		return 0;
	if (pid && (!str_to_i64(pid, &whose) || whose != getpid()))
		return 0;
	return MAX(n / 1000, 1);
}
