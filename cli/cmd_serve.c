/* torpor serve: the store, or files, to registry clients and to those who want ranges of a file. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/end_signals.h"
#include "base/io.h"
#include "base/num.h"
#include "base/printable.h"
#include "cli/command.h"
#include "cli/print_line.h"
#include "host/parse.h"
#include "host/paths.h"
#include "host/sandbox.h"
#include "serve/server.h"
#include "store/reference.h"

#define OPTION_LISTEN  (OPTION_LONG_ONLY + 1)
#define OPTION_TIMEOUT (OPTION_LONG_ONLY + 2)
#define OPTION_STORE   (OPTION_LONG_ONLY + 3)
#define OPTION_LOG     (OPTION_LONG_ONLY + 4)

#define DEFAULT_LISTEN	"127.0.0.1:5000"
#define DEFAULT_TIMEOUT 60u
#define CONNECTIONS	4096u
#define BACKLOG		1024
/* Of descriptors: a connection with the file that it is sent, and as much again for the catalog. */
#define DESCRIPTORS (CONNECTIONS * 4u)

static const struct option_spec options[] = {
	{OPTION_LISTEN, "listen", "ADDR:PORT", "where; by default " DEFAULT_LISTEN},
	{OPTION_STORE, "store", NULL, "serve the store, too, beside the PATHs"},
	{OPTION_LOG, "log", "FILE", "add a line for each request to FILE; - is standard error"},
	{OPTION_TIMEOUT, "timeout", "SECONDS", "how long a client may do nothing; by default 60"},
	{0},
};

struct serve_args {
	const char *listen;
	const char *log; /* NULL: none */
	bool store;
	unsigned timeout_s;
	struct options *paths; /* at the first of them, or at the end */
};

/* What it serves, and where. */
struct serving {
	struct catalog *catalog;
	const char *folder[OPTIONS_MAX]; /* that it reads */
	size_t nfolders;
	struct path store, images;
	int listen_fd, signal_fd;
	int log_fd; /* of requests; -1: none */
};

static int cmd_serve_parse(struct options *opts, struct serve_args *args, struct err *err)
{
	uint64_t seconds;
	int id, ret;

	while ((id = options_next(opts, err)) > 0) {
		switch (id) {
		case OPTION_LISTEN:
			args->listen = opts->value;
			break;
		case OPTION_LOG:
			args->log = opts->value;
			break;
		case OPTION_STORE:
			args->store = true;
			break;
		case OPTION_TIMEOUT:
			ret = parse_number(opts->value, "--timeout", 1, 86400, &seconds, err);
			if (ret < 0)
				return ret;
			args->timeout_s = (unsigned)seconds;
			break;
		default:
			return option_unhandled(id, err);
		}
	}
	return id;
}

/* ADDR:PORT, [ADDR]:PORT, or a port of the loopback address. */
static int split_address(char *text, const char **host, const char **port)
{
	char *colon = strrchr(text, ':');
	size_t len;

	*host = "127.0.0.1";
	*port = colon != NULL ? colon + 1 : text;
	if (**port == '\0' || strlen(*port) > 5 || strspn(*port, "0123456789") != strlen(*port) ||
	    strtoul(*port, NULL, 10) > UINT16_MAX)
		return -EINVAL;
	if (colon == NULL)
		return 0;
	*colon = '\0';
	*host = text;
	len = strlen(text);
	if (text[0] != '[')
		return len == 0 || strchr(text, ':') != NULL ? -EINVAL : 0;
	if (len < 3 || text[len - 1] != ']')
		return -EINVAL;
	text[len - 1] = '\0';
	*host = text + 1;
	return 0;
}

static int listen_at(const struct addrinfo *ai)
{
	cleanup_fd int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	static const int on = 1;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(&fd);
}

static int open_listener(const char *given, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
	char text[256];
	const char *host, *port;
	int ret;

	if (strlen(given) >= sizeof(text) || split_address(strcpy(text, given), &host, &port) < 0)
		return err_set(
			err, ERR_USAGE,
			"--listen %.200s: it is ADDR:PORT, as 127.0.0.1:5000, [::1]:5000, or "
			"0.0.0.0:5000 for everybody",
			given);
	ret = getaddrinfo(host, port, &hints, &list);
	if (ret != 0)
		return err_set(err, ERR_FAILED, "--listen %.200s: %s", given, gai_strerror(ret));
	ret = listen_at(list);
	freeaddrinfo(list);
	return ret < 0 ? err_sys(err, -ret, "listen at %.200s", given) : ret;
}

/* HOST:PORT as it is: the kernel may have chosen the port. */
static void address_of(int fd, char text[300])
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);
	char host[256] = "?", port[16] = "?";

	if (getsockname(fd, (struct sockaddr *)&addr, &len) == 0)
		(void)getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port,
				  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(text, 300, addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void report(void *opaque, const char *line)
{
	(void)opaque;
	print_line(stderr, "torpor: serve: %s", line);
}

static int open_log(const char *path, struct err *err)
{
	int fd = strcmp(path, "-") == 0
			 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)
			 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);

	return fd < 0 ? err_sys(err, errno, "--log %s", path) : fd;
}

/* A line is one write, so that those of several threads do not mix. What a client sent is in it. */
static void log_request(void *opaque, const char *text)
{
	const struct serving *s = opaque;
	const time_t now = time(NULL);
	char line[2048], when[32];
	struct tm tm;
	int len;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	snprintf(line, sizeof(line) - 1, "%s %s", when, text);
	printable_utf8(line);
	len = (int)strlen(line);
	line[len++] = '\n';
	(void)io_write(s->log_fd, line, (size_t)len);
}

/* The folder is made when it is not there: what comes later is served, too. */
static int add_store(struct serving *s, struct err *err)
{
	int ret = path_store_root(&s->store, err);

	if (ret < 0)
		return ret;
	ret = path_make_dirs(&s->store, err);
	if (ret < 0)
		return ret;
	s->folder[s->nfolders++] = s->store.text;
	return catalog_add_folder(s->catalog, s->store.text, err);
}

static int add_path(struct serving *s, const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return catalog_add_file(s->catalog, path, err);
	if (s->nfolders >= ARRAY_SIZE(s->folder))
		return err_set(err, ERR_USAGE, "more than %zu folders", ARRAY_SIZE(s->folder) - 1);
	s->folder[s->nfolders++] = path;
	return catalog_add_folder(s->catalog, path, err);
}

static int gather(struct serving *s, const struct serve_args *args, struct err *err)
{
	const char *path = options_operand(args->paths);
	bool store = args->store || path == NULL;
	int ret = store ? path_cas(&s->images, err) : 0;

	if (ret < 0)
		return ret;
	ret = catalog_new(&s->catalog, store ? s->images.text : NULL, report, NULL, err);
	if (ret == 0 && store)
		ret = add_store(s, err);
	for (; ret == 0 && path != NULL; path = options_operand(args->paths))
		ret = add_path(s, path, err);
	return ret;
}

/* How many connections there can be. */
static unsigned raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 64;
	if (limit.rlim_cur < DESCRIPTORS) {
		limit.rlim_cur = u64_min(limit.rlim_max, DESCRIPTORS);
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	return (unsigned)u64_min(CONNECTIONS, limit.rlim_cur / 4 + 1);
}

static int serve(struct serving *s, const struct serve_args *args, struct err *err)
{
	struct server_options server = {
		.catalog = s->catalog,
		.listen_fd = s->listen_fd,
		.connections = raise_descriptors(),
		.patience_s = args->timeout_s,
		.report = report,
		.log = s->log_fd >= 0 ? log_request : NULL,
		.opaque = s,
	};
	char address[300];
	struct server *running;
	int ret = s->signal_fd = end_signals_open(0, err);

	if (ret < 0)
		return ret;
	address_of(s->listen_fd, address);
	server.local = reference_is_loopback(address);
	ret = sandbox_enter_server(s->folder, s->nfolders, err);
	if (ret < 0)
		return ret;
	ret = server_start(&running, &server, err);
	if (ret < 0)
		return ret;
	s->listen_fd = -1; /* the server's */
	if (!server.local)
		print_line(stderr,
			   "torpor: serve: %s is open to all who can reach it, without encryption "
			   "and passwords; the memory of machines is in these files",
			   address);
	print_line(stdout, "http://%s", address);
	ret = flush_lines(err);
	if (ret == 0)
		ret = server_serve(running, s->signal_fd, err);
	server_stop(running);
	return ret;
}

static int cmd_serve_run(struct options *opts, struct err *err)
{
	struct serve_args args = {
		.listen = DEFAULT_LISTEN, .timeout_s = DEFAULT_TIMEOUT, .paths = opts};
	struct serving s = {.listen_fd = -1, .signal_fd = -1, .log_fd = -1};
	int ret = cmd_serve_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = server_load(err);
	if (ret == 0)
		ret = gather(&s, &args, err);
	if (ret == 0 && args.log != NULL)
		ret = s.log_fd = open_log(args.log, err);
	if (ret >= 0)
		ret = s.listen_fd = open_listener(args.listen, err);
	if (ret >= 0)
		ret = serve(&s, &args, err);
	if (s.listen_fd >= 0)
		close(s.listen_fd);
	if (s.signal_fd >= 0)
		close(s.signal_fd);
	if (s.log_fd >= 0)
		close(s.log_fd);
	catalog_free(s.catalog);
	return ret;
}

const struct command cmd_serve = {
	.name = "serve",
	.args = "[PATH…]",
	.summary = "let registry clients and browsers fetch appliances from here, read-only",
	.detail =
		"Without a PATH it serves the store: images by their names (NAME, of any host, and "
		"HOST/NAME), saved machines as NAME:latest. A PATH is a file NAME.torpor, or a "
		"folder with such files; then these alone are served, and the store too with "
		"--store. Each file can also be had as http://ADDR:PORT/NAME.torpor. Ranges are "
		"served of files and of blobs.\n\n"
		"torpor pull, skopeo, podman and docker pull from it. What is served is what is "
		"there at that moment, but for a file that is named, which is the one at the "
		"start. "
		"An image whose manifest was fetched stays for a quarter of an hour after the last "
		"request, whatever torpor gc does.\n\n"
		"It speaks http and knows no passwords: everybody who reaches the address can read "
		"all of it. It listens at the loopback address, where it answers to names of this "
		"host alone, unless --listen says otherwise; "
		"TLS "
		"and passwords are for a server before it (torpor(1) has nginx's configuration). "
		"--log has a line for each request: when, who, what, the status, bytes and range. "
		"It prints its address, and ends by ^C or SIGTERM.",
	.options = options,
	.run = cmd_serve_run,
};
