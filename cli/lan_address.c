/* See lan_address.h. */
#include "cli/lan_address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

#define KEEPALIVE_SECONDS 30

static int malformed(const char *text, struct err *err)
{
	return err_set(err, ERR_USAGE, "%.200s is no address: write unix:PATH or tcp:ADDR:PORT",
		       text);
}

static int open_unix(const char *path, bool listening, struct err *err)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const struct sockaddr *sa = (struct sockaddr *)&addr;

	if (fd < 0)
		return err_sys(err, errno, "socket");
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_sys(err, ENAMETOOLONG, "%.80s…", path);
	strcpy(addr.sun_path, path);
	if (listening ? bind(fd, sa, sizeof(addr)) < 0 || listen(fd, 16) < 0
		      : connect(fd, sa, sizeof(addr)) < 0)
		return err_sys(err, errno, "%s %s", listening ? "listen on" : "connect to", path);
	return take_fd(&fd);
}

/* The parts of ADDR:PORT or [ADDR]:PORT, in `host`. */
static int split(char *host, char **port)
{
	char *colon = strrchr(host, ':');
	size_t len;

	if (colon == NULL || colon == host || colon[1] == '\0')
		return -EINVAL;
	*colon = '\0';
	*port = colon + 1;
	len = strlen(host);
	if (host[0] != '[')
		return strchr(host, ':') != NULL ? -EINVAL : 0;
	if (len < 3 || host[len - 1] != ']')
		return -EINVAL;
	host[len - 1] = '\0';
	memmove(host, host + 1, len - 1);
	return 0;
}

static int try_one(const struct addrinfo *ai, bool listening)
{
	cleanup_fd int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const int on = 1;

	if (fd < 0)
		return -errno;
	if (!listening)
		return connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 ? -errno : take_fd(&fd);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 16) < 0)
		return -errno;
	return take_fd(&fd);
}

static int open_tcp(const char *text, bool listening, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	char host[256], *port;
	int ret;

	if (strlen(text) >= sizeof(host))
		return malformed(text, err);
	strcpy(host, text);
	if (split(host, &port) < 0)
		return malformed(text, err);
	ret = getaddrinfo(host, port, &hints, &list);
	if (ret != 0)
		return err_set(err, ERR_FAILED, "%.200s: %s", text, gai_strerror(ret));
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		ret = try_one(ai, listening);
		if (ret >= 0)
			break;
	}
	freeaddrinfo(list);
	return ret < 0 ? err_sys(err, -ret, "%s %.200s", listening ? "listen on" : "connect to",
				 text)
		       : ret;
}

static int open_address(const char *text, bool listening, struct err *err)
{
	if (strncmp(text, "unix:", 5) == 0 && text[5] != '\0')
		return open_unix(text + 5, listening, err);
	if (strncmp(text, "tcp:", 4) == 0)
		return open_tcp(text + 4, listening, err);
	return malformed(text, err);
}

int lan_address_connect(const char *text, struct err *err)
{
	return open_address(text, false, err);
}

int lan_address_listen(const char *text, struct err *err)
{
	return open_address(text, true, err);
}

void lan_address_of(int fd, const char *given, struct lan_address_text *address)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	snprintf(address->text, sizeof(address->text), "%.150s", given);
	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0 || addr.ss_family == AF_UNIX ||
	    getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	snprintf(address->text, sizeof(address->text),
		 addr.ss_family == AF_INET6 ? "tcp:[%.100s]:%.8s" : "tcp:%.100s:%.8s", host, port);
}

void lan_address_tune(int fd)
{
	static const int on = 1, idle = KEEPALIVE_SECONDS;

	/* A Unix socket knows none of it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
}
