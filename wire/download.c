/*
 * See download.h.
 *
 * The main thread takes requests and sees that the machine has ended; the others fetch and check.
 * One lock guards the plan, what is known of each file, and how the server does.
 */
#include "wire/download.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "host/sandbox.h"
#include "registry/referrers.h"
#include "wire/check.h"
#include "wire/plan.h"
#include "wire/pool.h"

/* One is always free for what somebody waits for. */
#define CONNECTIONS   (PLAN_REST + 1)
#define FIRST_WAIT_MS 250u
#define LAST_WAIT_MS  8000u
#define LONGEST_WAIT  60000u
/* How often a file may be answered wrongly, without a byte between, before all of it is asked for
 * in one piece; and before it is given up. */
#define LIES_WHOLE 2u
#define LIES_MOST  6u
/* How often a new address of a file may be refused in a row. */
#define MOVES_MOST 4u
#define FULL_MS	   20
/* Looks, of a second each, at another download to which nothing comes. */
#define BESIDE_IDLE 5u

enum check {
	UNCHECKED,
	CHECKING,
	RIGHT,
};

struct file_state {
	enum check check;
	unsigned lies, moves;
};

struct loader {
	const struct download *d;
	pthread_mutex_t lock; /* of all that follows, and of the sources in d->file */
	pthread_cond_t changed;
	struct plan plan;
	struct file_state *state; /* owned; of each file */
	bool stop;
	bool broken; /* nothing more can be written here */
	/* The server: how often it failed in a row, when the last time was, and when to ask again. */
	unsigned fails;
	uint64_t failed_ns, again_ns;
	bool waiting;
	int done;	     /* an eventfd: all is right, or nothing more can come */
	atomic_uint started; /* threads */
};

static uint64_t seconds_now(void)
{
	return clock_realtime_ns() / NS_PER_SECOND;
}

static const char *loader_host(const struct loader *l)
{
	const char *base = registry_base(l->d->registry);
	const char *host = strstr(base, "://");

	return host != NULL ? host + 3 : base;
}

/* Locked. */
static void say(struct loader *l, bool waiting)
{
	if (l->waiting == waiting)
		return;
	l->waiting = waiting;
	arrivals_say(l->d->set, waiting ? ARRIVALS_WAITING : ARRIVALS_GOING, seconds_now(),
		     loader_host(l), NULL);
}

/* Locked. Bytes came. */
static void server_is_there(struct loader *l)
{
	l->fails = 0;
	say(l, false);
}

/* Locked. What was begun before another failure says nothing new. */
static void server_failed(struct loader *l, uint64_t begun_ns, unsigned wait_s)
{
	uint64_t now = clock_monotonic_ns(), ms = LAST_WAIT_MS;

	if (l->fails > 0 && begun_ns < l->failed_ns)
		return;
	if (l->fails < 6)
		ms = u64_min((uint64_t)FIRST_WAIT_MS << l->fails, LAST_WAIT_MS);
	if (wait_s > 0)
		ms = u64_min((uint64_t)wait_s * 1000, LONGEST_WAIT);
	l->fails++;
	l->failed_ns = now;
	l->again_ns = now + ms * NS_PER_MS;
}

/* Locked. */
static void file_failed(struct loader *l, uint32_t file, const struct err *err)
{
	l->plan.file[file].ended = true;
	arrival_fail(arrivals_file(l->d->set, file), err->text);
}

/* Locked. */
static void disk_failed(struct loader *l, const struct err *err)
{
	arrivals_say(l->d->set, ARRIVALS_FAILED, seconds_now(), loader_host(l), err->text);
	l->broken = l->stop = true;
}

/* Locked. What a fetch of a file came to, whatever it was for. */
static void note_result(struct loader *l, uint32_t file, const struct range_fetch *f,
			enum range_result result, uint64_t begun_ns, const struct err *err)
{
	struct file_state *s = &l->state[file];

	strcpy(l->d->file[file].source.direct, f->source.direct);
	strcpy(l->d->file[file].source.etag, f->source.etag);
	if (f->at > f->from)
		server_is_there(l);
	if (range_progressed(f))
		s->moves = s->lies = 0;
	switch (result) {
	case RANGE_CAME:
	case RANGE_CANCELLED:
		break;
	case RANGE_MOVED:
		if (++s->moves > MOVES_MOST)
			file_failed(l, file, err);
		else if (s->moves > 1)
			server_failed(l, begun_ns, f->wait_s);
		break;
	case RANGE_LIES:
		if (++s->lies >= LIES_WHOLE)
			l->plan.file[file].whole = true;
		if (s->lies > LIES_MOST)
			file_failed(l, file, err);
		else
			server_failed(l, begun_ns, 0);
		break;
	case RANGE_AWAY:
		server_failed(l, begun_ns, f->wait_s);
		if (f->at == f->from)
			say(l, true);
		break;
	case RANGE_FAILED:
		file_failed(l, file, err);
		break;
	case RANGE_BROKEN:
		disk_failed(l, err);
		break;
	}
}

static void prepare(const struct loader *l, uint32_t file, struct http *http, struct range_fetch *f)
{
	*f = (struct range_fetch){
		.registry = l->d->registry,
		.http = http,
		.source = l->d->file[file].source,
		.fd = l->d->file[file].fd,
		.whole = l->plan.file[file].whole,
	};
}

/* What another download has of a range, and is missing here, up to a MiB. Returns the bytes. */
static uint64_t copy_beside(const struct download_file *f, struct arrival *to, uint64_t from,
			    uint64_t end)
{
	uint64_t copied = 0, start, len;
	uint8_t block[ARRIVAL_BLOCK];

	if (f->beside_fd < 0)
		return 0;
	while (from < end && copied < PLAN_MOST && arrival_missing(to, from, &start, &len) &&
	       start < end) {
		len = u64_min(ARRIVAL_BLOCK, f->source.size - start);
		from = start + len;
		if (!arrival_has(f->beside, start, len) ||
		    io_pread(f->beside_fd, block, len, start) < 0 ||
		    io_pwrite(f->fd, block, len, start) < 0)
			continue;
		arrival_mark(to, start, len);
		copied += len;
	}
	return copied;
}

/* Locked; not while it fetches. */
static void run_job(struct loader *l, struct http *http, int job)
{
	const struct plan_range range = l->plan.job[job];
	struct err err = {0};
	struct range_fetch f;
	enum range_result result;
	uint64_t begun = clock_monotonic_ns(), copied;

	prepare(l, range.file, http, &f);
	f.arrival = arrivals_file(l->d->set, range.file);
	f.from = range.from;
	f.to = range.from + range.len;
	pthread_mutex_unlock(&l->lock);
	copied = copy_beside(&l->d->file[range.file], f.arrival, f.from, f.to);
	result = copied > 0 ? RANGE_CAME : range_fetch(&f, &err);
	pthread_mutex_lock(&l->lock);
	plan_done(&l->plan, job, clock_monotonic_ns());
	if (copied == 0)
		note_result(l, range.file, &f, result, begun, &err);
}

/* Locked. How long until the server may be asked again; 0: now. */
static uint64_t wait_ns(const struct loader *l, uint64_t now)
{
	return l->fails > 0 && now < l->again_ns ? l->again_ns - now : 0;
}

/* Locked. Until something has changed, or `ns` after `now`; 0: however long it takes. */
static void await_change(struct loader *l, uint64_t now, uint64_t ns)
{
	const uint64_t until = now + ns;
	const struct timespec when = {(time_t)(until / NS_PER_SECOND),
				      (long)(until % NS_PER_SECOND)};

	if (ns > 0)
		(void)pthread_cond_timedwait(&l->changed, &l->lock, &when);
	else
		(void)pthread_cond_wait(&l->changed, &l->lock);
}

/* Locked. Another copy of a file, beside it: from `at` on, and on through all that goes wrong.
 * Returns 0, or -ECANCELED when there is none. */
static int fetch_copy(struct loader *l, struct http *http, uint32_t file, int fd)
{
	uint64_t at = 0, size = l->d->file[file].source.size;

	while (at < size && !l->stop && !l->plan.file[file].ended) {
		uint64_t begun = clock_monotonic_ns(), wait = wait_ns(l, begun);
		enum range_result result;
		struct err err = {0};
		struct range_fetch f;

		if (wait > 0) {
			await_change(l, begun, wait);
			continue;
		}
		prepare(l, file, http, &f);
		f.fd = fd;
		f.from = f.whole ? 0 : at;
		f.to = f.whole ? size : u64_min(at + PLAN_MOST, size);
		pthread_mutex_unlock(&l->lock);
		result = range_fetch(&f, &err);
		pthread_mutex_lock(&l->lock);
		note_result(l, file, &f, result, begun, &err);
		if (!f.whole || f.at == size)
			at = f.at;
	}
	return at == size ? 0 : -ECANCELED;
}

static void file_is_wrong(struct loader *l, uint32_t file)
{
	struct err err = {0};

	err_set(&err, ERR_INTEGRITY, "%s gives other bytes than those of %s, twice",
		registry_base(l->d->registry), l->d->file[file].digest);
	file_failed(l, file, &err);
}

/* Locked. The digest was wrong: once more, and the bytes that differ are replaced. */
static int mend(struct loader *l, struct http *http, uint32_t file, struct err *err)
{
	const struct download_file *f = &l->d->file[file];
	struct arrival *a = arrivals_file(l->d->set, file);
	cleanup_fd int copy = check_copy_open(l->d->folder, f->source.size, err);
	int ret;

	if (copy < 0)
		return copy;
	if (fetch_copy(l, http, file, copy) < 0)
		return 0;
	pthread_mutex_unlock(&l->lock);
	ret = check_digest(copy, f->source.size, f->digest, &l->stop, err);
	if (ret > 0)
		ret = check_replace(f->fd, copy, a, err) < 0 ? -EIO : 1;
	pthread_mutex_lock(&l->lock);
	if (ret == 0 && !l->stop)
		file_is_wrong(l, file);
	l->state[file].check = ret > 0 ? RIGHT : UNCHECKED;
	return ret < 0 ? ret : 0;
}

/* Locked. All of the file is there: is it right? */
static void check_file(struct loader *l, struct http *http, uint32_t file)
{
	const struct download_file *f = &l->d->file[file];
	struct file_state *s = &l->state[file];
	struct err err = {0};
	int ret = 1;

	s->check = CHECKING;
	if (f->digest[0] != '\0') {
		pthread_mutex_unlock(&l->lock);
		ret = check_digest(f->fd, f->source.size, f->digest, &l->stop, &err);
		pthread_mutex_lock(&l->lock);
	}
	/* A machine may have dropped some of it meanwhile. */
	if (ret > 0)
		s->check = plan_file_is_there(&l->plan, file) ? RIGHT : UNCHECKED;
	else if (ret == 0 && !l->stop)
		ret = mend(l, http, file, &err);
	else
		s->check = UNCHECKED;
	if (s->check == CHECKING)
		s->check = UNCHECKED;
	if (ret < 0)
		disk_failed(l, &err);
}

/* Locked. The next file to check; -1: none. Says so when all are right. */
static int next_check(struct loader *l)
{
	uint32_t right = 0, n = arrivals_files(l->d->set);

	for (uint32_t i = 0; i < n; i++) {
		right += l->state[i].check == RIGHT;
		if (l->state[i].check == UNCHECKED && !l->plan.file[i].ended &&
		    plan_file_is_there(&l->plan, i))
			return (int)i;
	}
	if (right == n)
		(void)eventfd_write(l->done, 1);
	return -1;
}

/* Locked. */
static int next_job(struct loader *l, uint64_t now)
{
	if (wait_ns(l, now) > 0)
		return -1;
	/* One asks whether the server is back. */
	if (l->fails > 0 && plan_under_way(&l->plan, PLAN_DEMAND) +
					    plan_under_way(&l->plan, PLAN_HINT) +
					    plan_under_way(&l->plan, PLAN_BACKGROUND) >
				    0)
		return -1;
	return plan_next(&l->plan, 1u << PLAN_DEMAND | 1u << PLAN_HINT | 1u << PLAN_BACKGROUND,
			 now);
}

/* Locked. */
static void step(struct loader *l, struct http *http)
{
	uint64_t now = clock_monotonic_ns(), wait;
	int job = next_job(l, now), file;

	if (job >= 0) {
		run_job(l, http, job);
	} else {
		file = next_check(l);
		if (file < 0) {
			wait = wait_ns(l, now);
			await_change(l, now, wait > 0 ? wait : plan_wait_ns(&l->plan, now));
			return;
		}
		check_file(l, http, (uint32_t)file);
	}
	pthread_cond_broadcast(&l->changed);
}

static void *load(void *opaque)
{
	cleanup_http struct http *http = NULL;
	struct loader *l = opaque;
	struct err err = {0};
	int ret = registry_http(l->d->registry, &http, &err);

	/* While the machine is made: its first demands find connections, and one thread that is free. */
	if (ret == 0 && l->d->nimages > 0 && atomic_fetch_add(&l->started, 1) > 0)
		pool_connect(l->d->registry, http);
	pthread_mutex_lock(&l->lock);
	if (ret < 0)
		disk_failed(l, &err);
	while (!l->stop)
		step(l, http);
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	(void)eventfd_write(l->done, 1);
	return NULL;
}

/* Until the other download has all, or is none to wait for: what is missing then is fetched here. */
static void *watch_beside(void *opaque)
{
	struct loader *l = opaque;
	struct arrivals *set = l->d->beside->left.set;
	struct arrivals_status status = {.state = ARRIVALS_GOING};
	uint32_t generation = 0, before;
	unsigned idle = 0;

	pthread_mutex_lock(&l->lock);
	while (!l->stop && status.state == ARRIVALS_GOING && idle < BESIDE_IDLE) {
		pthread_mutex_unlock(&l->lock);
		before = generation;
		arrivals_await_change(set, &generation);
		idle = generation == before ? idle + 1 : 0;
		if (arrivals_status_read(l->d->beside->map_fd, &status, NULL) < 0)
			status.state = ARRIVALS_FAILED;
		pthread_mutex_lock(&l->lock);
		pthread_cond_broadcast(&l->changed);
	}
	for (uint32_t i = 0; i < arrivals_files(l->d->set); i++)
		l->plan.file[i].beside = NULL;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* Returns 0, or -EPIPE when the machine has ended. */
static int take_requests(struct loader *l)
{
	struct arrivals_request request;
	struct err err = {0};
	int ret = 0;

	pthread_mutex_lock(&l->lock);
	while (plan_has_room(&l->plan) && (ret = arrivals_next(l->d->set, &request)) == 1) {
		if (request.again && l->state[request.file].check == RIGHT)
			l->state[request.file].check = UNCHECKED;
		if (plan_ask(&l->plan, &request, &err) < 0)
			disk_failed(l, &err);
	}
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return ret == -EPIPE ? ret : 0;
}

static bool all_right(struct loader *l)
{
	bool right = true;

	pthread_mutex_lock(&l->lock);
	for (uint32_t i = 0; i < arrivals_files(l->d->set); i++)
		right &= l->state[i].check == RIGHT;
	pthread_mutex_unlock(&l->lock);
	return right;
}

/* Until all is right (returns true; not of what has no digest), the machine ends, or nothing more can
 * be written. */
static bool serve(struct loader *l)
{
	for (;;) {
		bool room;
		struct pollfd fds[2] = {
			{.fd = arrivals_fd(l->d->set)},
			{.fd = l->done, .events = POLLIN},
		};

		pthread_mutex_lock(&l->lock);
		room = plan_has_room(&l->plan);
		pthread_mutex_unlock(&l->lock);
		fds[0].events = room ? POLLIN : 0;
		(void)poll(fds, 2, room ? -1 : FULL_MS);
		if (fds[1].revents != 0) {
			eventfd_t ignored;

			(void)eventfd_read(l->done, &ignored);
			if (all_right(l) && l->d->nimages > 0)
				return true;
			/* What has no digest may still be found wrong: by the machine. */
			if (all_right(l))
				arrivals_say(l->d->set, ARRIVALS_COMPLETE, seconds_now(),
					     loader_host(l), NULL);
			if (l->broken)
				return false;
		}
		if (fds[0].revents != 0 && take_requests(l) < 0)
			return false;
	}
}

/* Without them the image is as good as before, but where a signature is asked for: torpor pull fetches
 * them then. */
static void put_signatures(const struct download *d, const struct cas *cas)
{
	const char *digest = d->image[d->nimages - 1].self.digest;
	cleanup_http struct http *http = NULL;

	if (registry_http(d->registry, &http, NULL) == 0)
		(void)referrers_pull(d->registry, http, cas, digest, NULL);
}

int download_put_images(const struct download *d, const struct cas *cas, struct err *err)
{
	for (size_t i = 0; i < d->nimages; i++) {
		const struct download_image *image = &d->image[i];
		int ret = cas_arriving_publish(d->folder, cas, image->self.digest, err);

		for (size_t k = 0; ret == 0 && k < image->nblobs; k++)
			ret = cas_arriving_publish(d->folder, cas, image->blob[k].digest, err);
		if (ret == 0)
			ret = cas_put_image(cas, &image->self, err);
		if (ret < 0)
			return ret;
	}
	return cas_arriving_empty(d->folder, err);
}

static int put_images(const struct download *d, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	int ret;

	if (d->nimages == 0)
		return 0;
	ret = cas_open(&cas, d->store, CAS_ADD, err);
	if (ret < 0)
		return ret;
	ret = download_put_images(d, &cas, err);
	if (ret == 0)
		put_signatures(d, &cas);
	return ret < 0 ? ret : registry_name(&cas, d->ref, d->named, err);
}

/* All is there: the machine does not need this process any more, whatever becomes of the store. */
static void finish(struct loader *l)
{
	struct err err = {0};
	int ret = put_images(l->d, &err);

	arrivals_say(l->d->set, ARRIVALS_COMPLETE, seconds_now(), loader_host(l),
		     ret < 0 ? err.text : NULL);
}

static int loader_init(struct loader *l, const struct download *d, struct err *err)
{
	pthread_condattr_t attr;
	int ret;

	*l = (struct loader){.d = d, .done = -1};
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	ret = plan_init(&l->plan, d->set, clock_monotonic_ns(), err);
	if (ret < 0)
		return ret;
	l->state = calloc(arrivals_files(d->set), sizeof(l->state[0]));
	if (l->state == NULL)
		return err_sys(err, ENOMEM, "start a download");
	for (uint32_t i = 0; i < arrivals_files(d->set); i++) {
		l->plan.file[i].first = d->file[i].first;
		l->plan.file[i].table = d->file[i].table;
		l->plan.file[i].beside = d->file[i].beside;
	}
	l->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return l->done < 0 ? err_sys(err, errno, "eventfd") : 0;
}

static int run_loader(struct loader *l, struct err *err)
{
	pthread_t thread[CONNECTIONS], watcher;
	unsigned started = 0;
	bool complete;
	int watched = l->d->beside == NULL ? -1 : pthread_create(&watcher, NULL, watch_beside, l);

	while (watched <= 0 && started < CONNECTIONS &&
	       pthread_create(&thread[started], NULL, load, l) == 0)
		started++;
	if (started == 0)
		return err_sys(err, EAGAIN, "start a thread");
	complete = serve(l);
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	progress_cancel(l->d->progress);
	while (started > 0)
		pthread_join(thread[--started], NULL);
	if (watched == 0) {
		arrivals_interrupt(l->d->beside->left.set);
		pthread_join(watcher, NULL);
	}
	if (!complete)
		return 0;
	/* One that is not cancelled: signatures are fetched yet. */
	progress_free(l->d->progress);
	(void)progress_init(l->d->progress, NULL);
	finish(l);
	return 0;
}

static void download_run(void *opaque)
{
	const struct download *d = opaque;
	struct err err = {0};
	struct loader l;
	int ret;

	signal(SIGPIPE, SIG_IGN);
	arrivals_serve(d->set, d->socket);
	ret = sandbox_enter_download(d->store, d->ca_file, &err);
	if (ret == 0)
		ret = sandbox_hide(&err);
	if (ret == 0)
		ret = loader_init(&l, d, &err);
	if (ret == 0)
		ret = run_loader(&l, &err);
	if (ret < 0)
		arrivals_say(d->set, ARRIVALS_FAILED, seconds_now(), registry_base(d->registry),
			     err.text);
}

int download_start(const struct download *d, struct err *err)
{
	uint32_t files = arrivals_files(d->set);
	cleanup_free int *keep = calloc(2 * (size_t)files + 6, sizeof(*keep));
	size_t n = 0;

	if (keep == NULL)
		return err_sys(err, ENOMEM, "start a download");
	keep[n++] = d->socket;
	keep[n++] = arrivals_map_fd(d->set);
	keep[n++] = d->progress->fd;
	keep[n++] = d->folder->folder;
	keep[n++] = d->folder->lock;
	if (d->beside != NULL)
		keep[n++] = d->beside->map_fd;
	for (uint32_t i = 0; i < files; i++) {
		keep[n++] = d->file[i].fd;
		if (d->file[i].beside_fd >= 0)
			keep[n++] = d->file[i].beside_fd;
	}
	return child_detach(download_run, (void *)d, keep, n, err);
}
