/* Files that arrive: the map and both ends of its socket; see arrival.h and arrival_map.h. */
#include "base/arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/arrival_map.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/printable.h"

/* How long a waiter sleeps before it looks whether the writer has hung up. A mark wakes it. */
#define LOOK_SECONDS 1
/* While the socket has no room for a request. */
#define FULL_MS 20
/* A writer that was killed in the middle of a step leaves `version` odd. */
#define VERSION_TRIES 100
#define WRITER_GONE   "what fetched it has ended"

/* --- the layout --- */

static uint64_t bitmap_words(uint64_t size)
{
	return (arrival_blocks(size) + 63) / 64;
}

static uint64_t first_bitmap(uint32_t files)
{
	return (ARRIVAL_HEADER + (uint64_t)files * ARRIVAL_RECORD) / 8;
}

static struct arrival_record *record_at(void *map, uint32_t index)
{
	return (struct arrival_record *)((uint8_t *)map + ARRIVAL_HEADER +
					 (uint64_t)index * ARRIVAL_RECORD);
}

static int set_new(struct arrivals **out, uint32_t files, struct err *err)
{
	struct arrivals *set = calloc(1, sizeof(*set));

	*out = NULL;
	if (set != NULL)
		set->file = calloc(files, sizeof(set->file[0]));
	if (set == NULL || set->file == NULL) {
		free(set);
		return err_sys(err, ENOMEM, "files that arrive");
	}
	set->files = files;
	set->socket = set->map_fd = -1;
	set->header = MAP_FAILED;
	pthread_mutex_init(&set->lock, NULL);
	*out = set;
	return 0;
}

/* Where each file's bitmap lies, by the sizes alone. */
static uint64_t lay_out(struct arrivals *set, const uint64_t *sizes)
{
	uint64_t word = first_bitmap(set->files);

	for (uint32_t i = 0; i < set->files; i++) {
		set->file[i] = (struct arrival){
			.set = set,
			.index = i,
			.size = sizes[i],
			.blocks = arrival_blocks(sizes[i]),
			.first_word = word,
		};
		word += bitmap_words(sizes[i]);
	}
	return word * 8;
}

static int map_set(struct arrivals *set, int fd, int prot, struct err *err)
{
	set->header = mmap(NULL, set->map_len, prot, MAP_SHARED, fd, 0);
	if (set->header == MAP_FAILED)
		return err_sys(err, errno, "map what has arrived");
	for (uint32_t i = 0; i < set->files; i++) {
		struct arrival *a = &set->file[i];

		a->bits = (_Atomic uint64_t *)set->header + a->first_word;
		a->record = record_at(set->header, i);
	}
	return 0;
}

static int check_sizes(const uint64_t *sizes, uint32_t n, struct err *err)
{
	uint64_t sum = 0;

	if (n == 0 || n > ARRIVAL_MAX_FILES)
		return err_set(err, ERR_INTEGRITY, "%u files cannot arrive together", n);
	for (uint32_t i = 0; i < n; i++) {
		if (sizes[i] > ARRIVAL_MAX_BYTES || sum > ARRIVAL_MAX_BYTES - sizes[i])
			return err_set(err, ERR_INTEGRITY, "files of more than %llu bytes",
				       (unsigned long long)ARRIVAL_MAX_BYTES);
		sum += sizes[i];
	}
	return 0;
}

int arrivals_create(struct arrivals **out, int map_fd, const uint64_t *sizes, uint32_t n,
		    struct err *err)
{
	cleanup_arrivals struct arrivals *set = NULL;
	int ret = check_sizes(sizes, n, err);

	*out = NULL;
	if (ret == 0)
		ret = set_new(&set, n, err);
	if (ret < 0)
		return ret;
	set->writer = true;
	set->map_len = lay_out(set, sizes);
	set->map_fd = fcntl(map_fd, F_DUPFD_CLOEXEC, 0);
	if (set->map_fd < 0 || ftruncate(map_fd, 0) < 0 ||
	    ftruncate(map_fd, (off_t)set->map_len) < 0)
		return err_sys(err, errno, "make the map of what arrives");
	ret = map_set(set, map_fd, PROT_READ | PROT_WRITE, err);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < n; i++) {
		set->file[i].record->size = sizes[i];
		set->file[i].record->first_word = set->file[i].first_word;
	}
	set->header->files = n;
	atomic_store(&set->header->state, ARRIVALS_GOING);
	set->header->since = (uint64_t)time(NULL);
	set->header->magic = ARRIVAL_MAGIC;
	*out = take_ptr(set);
	return 0;
}

static int read_layout(struct arrivals **out, int map_fd, struct err *err)
{
	struct arrival_header header;
	cleanup_free uint8_t *records = NULL;
	cleanup_free uint64_t *sizes = NULL;
	cleanup_arrivals struct arrivals *set = NULL;
	struct stat st;
	int ret;

	if (fstat(map_fd, &st) < 0)
		return err_sys(err, errno, "look at the map of what arrives");
	ret = io_pread(map_fd, &header, sizeof(header), 0);
	if (ret == -ENODATA || (ret == 0 && (header.magic != ARRIVAL_MAGIC || header.files == 0 ||
					     header.files > ARRIVAL_MAX_FILES)))
		return err_set(err, ERR_INTEGRITY, "this is no map of files that arrive");
	if (ret < 0)
		return err_sys(err, -ret, "read the map of what arrives");
	records = malloc((size_t)header.files * ARRIVAL_RECORD);
	sizes = malloc(header.files * sizeof(*sizes));
	if (records == NULL || sizes == NULL)
		return err_sys(err, ENOMEM, "read the map of what arrives");
	ret = io_pread(map_fd, records, (uint64_t)header.files * ARRIVAL_RECORD, ARRIVAL_HEADER);
	if (ret < 0)
		return err_set(err, ERR_INTEGRITY, "the map of what arrives is cut off");
	for (uint32_t i = 0; i < header.files; i++)
		memcpy(&sizes[i],
		       records + (size_t)i * ARRIVAL_RECORD + offsetof(struct arrival_record, size),
		       sizeof(sizes[i]));
	ret = check_sizes(sizes, header.files, err);
	if (ret == 0)
		ret = set_new(&set, header.files, err);
	if (ret < 0)
		return ret;
	set->map_len = lay_out(set, sizes);
	for (uint32_t i = 0; i < header.files; i++) {
		uint64_t word;

		memcpy(&word,
		       records + (size_t)i * ARRIVAL_RECORD +
			       offsetof(struct arrival_record, first_word),
		       sizeof(word));
		if (word != set->file[i].first_word)
			return err_set(err, ERR_INTEGRITY, "the map of what arrives is damaged");
	}
	if ((uint64_t)st.st_size != set->map_len)
		return err_set(err, ERR_INTEGRITY,
			       "the map of what arrives has %llu bytes, not %llu",
			       (unsigned long long)st.st_size, (unsigned long long)set->map_len);
	*out = take_ptr(set);
	return 0;
}

int arrivals_open(struct arrivals **out, int map_fd, int socket_fd, struct err *err)
{
	cleanup_fd int owned = socket_fd;
	cleanup_arrivals struct arrivals *set = NULL;
	int ret = read_layout(&set, map_fd, err);

	*out = NULL;
	if (ret == 0)
		ret = map_set(set, map_fd, PROT_READ, err);
	if (ret < 0)
		return ret;
	set->socket = take_fd(&owned);
	*out = take_ptr(set);
	return 0;
}

void arrivals_free(struct arrivals *set)
{
	if (set == NULL)
		return;
	if (set->header != MAP_FAILED)
		munmap(set->header, set->map_len);
	if (set->socket >= 0)
		close(set->socket);
	if (set->map_fd >= 0)
		close(set->map_fd);
	pthread_mutex_destroy(&set->lock);
	free(set->file);
	free(set);
}

uint32_t arrivals_files(const struct arrivals *set)
{
	return set->files;
}

struct arrival *arrivals_file(struct arrivals *set, uint32_t index)
{
	return &set->file[index];
}

uint64_t arrival_size(const struct arrival *a)
{
	return a->size;
}

struct arrivals *arrival_set(const struct arrival *a)
{
	return a->set;
}

int arrivals_fd(const struct arrivals *set)
{
	return set->socket;
}

/* --- blocks --- */

static uint64_t bits_of_word(uint64_t word, uint64_t first, uint64_t end)
{
	uint64_t low = first > word * 64 ? first - word * 64 : 0;
	uint64_t high = u64_min(end - word * 64, 64);
	uint64_t mask = high == 64 ? UINT64_MAX : (UINT64_C(1) << high) - 1;

	return mask & ~((UINT64_C(1) << low) - 1);
}

static bool has_blocks(const struct arrival *a, uint64_t first, uint64_t end)
{
	for (uint64_t word = first / 64; word * 64 < end; word++) {
		uint64_t mask = bits_of_word(word, first, end);

		if ((atomic_load(&a->bits[word]) & mask) != mask)
			return false;
	}
	return true;
}

bool arrival_has(const struct arrival *a, uint64_t from, uint64_t len)
{
	if (!range_within(from, len, a->size))
		return false;
	return len == 0 || has_blocks(a, from / ARRIVAL_BLOCK, arrival_blocks(from + len));
}

static bool has_block(const struct arrival *a, uint64_t block)
{
	return (atomic_load(&a->bits[block / 64]) >> block % 64 & 1) != 0;
}

/* The first block from `block` on that is there, or is not. */
static uint64_t find_block(const struct arrival *a, uint64_t block, bool there)
{
	while (block < a->blocks) {
		uint64_t word = atomic_load(&a->bits[block / 64]);

		if (block % 64 == 0 && word == (there ? 0 : UINT64_MAX))
			block += 64;
		else if (has_block(a, block) == there)
			return block;
		else
			block++;
	}
	return a->blocks;
}

bool arrival_missing(const struct arrival *a, uint64_t from, uint64_t *start, uint64_t *len)
{
	uint64_t first = find_block(a, from / ARRIVAL_BLOCK, false);
	uint64_t end;

	if (first >= a->blocks)
		return false;
	end = find_block(a, first, true);
	*start = first * ARRIVAL_BLOCK;
	*len = u64_min(end * ARRIVAL_BLOCK, a->size) - *start;
	return true;
}

static void wake_all(struct arrivals *set)
{
	syscall(SYS_futex, &set->header->generation, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void next_generation(struct arrivals *set)
{
	atomic_fetch_add(&set->header->generation, 1);
	wake_all(set);
}

void arrival_mark(struct arrival *a, uint64_t from, uint64_t len)
{
	uint64_t first, end, added = 0;

	if (!range_within(from, len, a->size))
		return;
	first = arrival_blocks(from);
	end = from + len == a->size ? a->blocks : (from + len) / ARRIVAL_BLOCK;
	for (uint64_t word = first / 64; word * 64 < end; word++) {
		uint64_t mask = bits_of_word(word, first, end);
		uint64_t old = atomic_fetch_or(&a->bits[word], mask);

		added += (uint64_t)__builtin_popcountll(mask & ~old);
	}
	atomic_fetch_add(&a->record->there, added);
	if (added > 0)
		next_generation(a->set);
}

void arrival_drop(struct arrival *a, uint64_t from, uint64_t len)
{
	uint64_t first = from / ARRIVAL_BLOCK, end, dropped = 0;

	if (len == 0 || !range_within(from, len, a->size))
		return;
	end = arrival_blocks(from + len);
	for (uint64_t word = first / 64; word * 64 < end; word++) {
		uint64_t mask = bits_of_word(word, first, end);
		uint64_t old = atomic_fetch_and(&a->bits[word], ~mask);

		dropped += (uint64_t)__builtin_popcountll(mask & old);
	}
	atomic_fetch_sub(&a->record->there, dropped);
}

/* --- states and texts --- */

static bool writer_is_gone(const struct arrivals *set)
{
	struct pollfd pfd = {.fd = set->socket};

	return set->socket < 0 || (poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLHUP | POLLERR)));
}

static void put_text(char to[ARRIVAL_TEXT], const char *text)
{
	snprintf(to, ARRIVAL_TEXT, "%s", text != NULL ? text : "");
}

static void get_text(char to[ARRIVAL_TEXT], const char *text)
{
	memcpy(to, text, ARRIVAL_TEXT);
	to[ARRIVAL_TEXT - 1] = 0;
	printable_utf8(to);
}

void arrival_fail(struct arrival *a, const char *text)
{
	if (atomic_load(&a->record->failed) != 0)
		return;
	put_text(a->record->text, text);
	atomic_store(&a->record->failed, 1);
	next_generation(a->set);
}

void arrivals_say(struct arrivals *set, enum arrivals_state state, uint64_t since, const char *host,
		  const char *text)
{
	struct arrival_header *h = set->header;

	if (atomic_load(&h->state) == ARRIVALS_FAILED)
		return;
	atomic_fetch_add(&h->version, 1);
	put_text(h->host, host);
	put_text(h->text, text);
	atomic_store(&h->since, since);
	atomic_store(&h->state, state);
	atomic_fetch_add(&h->version, 1);
	next_generation(set);
}

static void read_header(const struct arrival_header *h, struct arrivals_status *status)
{
	for (unsigned tries = 0; tries < VERSION_TRIES; tries++) {
		uint32_t before = atomic_load(&h->version);

		status->state = (enum arrivals_state)atomic_load(&h->state);
		status->since = atomic_load(&h->since);
		get_text(status->host, h->host);
		get_text(status->failed, h->text);
		atomic_thread_fence(memory_order_acquire);
		if (before % 2 == 0 && atomic_load(&h->version) == before)
			break;
	}
	if (status->state < ARRIVALS_GOING || status->state > ARRIVALS_FAILED)
		status->state = ARRIVALS_FAILED;
}

static void read_status(const struct arrivals *set, bool gone, struct arrivals_status *status)
{
	*status = (struct arrivals_status){.files = set->files};
	read_header(set->header, status);
	/* It was gone before this was read: what it said last is what it says. */
	if (gone && status->state != ARRIVALS_COMPLETE && status->state != ARRIVALS_FAILED) {
		status->state = ARRIVALS_FAILED;
		snprintf(status->failed, sizeof(status->failed), WRITER_GONE);
	}
	for (uint32_t i = 0; i < set->files; i++) {
		const struct arrival *a = &set->file[i];

		status->bytes += a->size;
		status->there += u64_min(atomic_load(&a->record->there) * ARRIVAL_BLOCK, a->size);
		if (status->failed[0] == 0 && atomic_load(&a->record->failed) != 0)
			get_text(status->failed, a->record->text);
	}
}

void arrivals_status(const struct arrivals *set, struct arrivals_status *status)
{
	read_status(set, !set->writer && writer_is_gone(set), status);
	status->waiters = atomic_load(&set->blocked);
}

int arrivals_map_fd(const struct arrivals *set)
{
	return set->map_fd;
}

/* It had the lock, and nobody has it. */
static bool lock_is_left(const struct arrivals *set, int map_fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return atomic_load(&set->header->served) != 0 && fcntl(map_fd, F_OFD_GETLK, &lock) == 0 &&
	       lock.l_type == F_UNLCK;
}

int arrivals_status_read(int map_fd, struct arrivals_status *status, struct err *err)
{
	cleanup_arrivals struct arrivals *set = NULL;
	int ret = arrivals_open(&set, map_fd, -1, err);

	if (ret == 0)
		read_status(set, lock_is_left(set, map_fd), status);
	return ret;
}

/* --- the reader waits --- */

/* Returns 0, -EAGAIN when the socket is full, or -EPIPE. */
static int send_request(struct arrival *a, enum arrival_kind kind, uint64_t from, uint64_t len)
{
	struct arrival_message message = {.file = a->index, .kind = kind, .from = from, .len = len};

	if (a->set->socket < 0)
		return -EPIPE;
	while (send(a->set->socket, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN || errno == ENOBUFS)
			return -EAGAIN;
		if (errno != EINTR)
			return -EPIPE;
	}
	return 0;
}

void arrival_want(struct arrival *a, uint64_t from, uint64_t len)
{
	if (len > 0 && range_within(from, len, a->size) && !arrival_has(a, from, len))
		(void)send_request(a, ARRIVAL_HINT, from, len);
}

static void sleep_until_change(struct arrivals *set, uint32_t generation, bool sent)
{
	static const struct timespec look = {.tv_sec = LOOK_SECONDS};
	struct pollfd room = {.fd = set->socket, .events = POLLOUT};

	if (sent)
		syscall(SYS_futex, &set->header->generation, FUTEX_WAIT, generation, &look, NULL,
			0);
	else
		(void)poll(&room, 1, FULL_MS);
}

static int say_failed(struct arrival *a, struct err *err)
{
	char text[ARRIVAL_TEXT];

	get_text(text, a->record->text);
	return err_sys(err, EIO, "%s", text);
}

/* Why these blocks will not come, or 0 while they may. */
static int no_hope(struct arrival *a, struct err *err)
{
	struct arrivals_status status;

	if (atomic_load(&a->set->interrupted)) {
		(void)err_set(err, ERR_FAILED, "the wait for what has not arrived was ended");
		return -ECANCELED;
	}
	if (atomic_load(&a->record->failed) != 0)
		return say_failed(a, err);
	if (atomic_load(&a->set->header->state) != ARRIVALS_FAILED)
		return 0;
	arrivals_status(a->set, &status);
	return err_sys(err, EIO, "%s", status.failed);
}

/* Wait until the blocks are there and `taken` has come, of the requests for another copy. */
static int await_blocks(struct arrival *a, uint64_t from, uint64_t len, const uint32_t *taken,
			struct err *err)
{
	struct arrivals *set = a->set;
	bool sent = taken != NULL, gone = false;

	for (;;) {
		uint32_t generation = atomic_load(&set->header->generation);
		int ret;

		if ((taken == NULL || (int32_t)(atomic_load(&set->header->taken) - *taken) >= 0) &&
		    arrival_has(a, from, len))
			return 0;
		ret = no_hope(a, err);
		if (ret < 0)
			return ret;
		/* What it marked before it went has been looked at by now. */
		if (gone)
			return err_sys(err, EIO, WRITER_GONE);
		if (!sent) {
			ret = send_request(a, ARRIVAL_NOW, from, len);
			sent = ret == 0;
			gone = ret == -EPIPE;
		}
		gone = gone || writer_is_gone(set);
		if (!gone)
			sleep_until_change(set, generation, sent);
	}
}

static int await_counted(struct arrival *a, uint64_t from, uint64_t len, const uint32_t *taken,
			 struct err *err)
{
	int ret;

	atomic_fetch_add(&a->set->waiting, 1);
	atomic_fetch_add(&a->set->blocked, 1);
	ret = await_blocks(a, from, len, taken, err);
	atomic_fetch_sub(&a->set->blocked, 1);
	atomic_fetch_sub(&a->set->waiting, 1);
	return ret;
}

int arrival_await(struct arrival *a, uint64_t from, uint64_t len, struct err *err)
{
	if (a == NULL || arrival_has(a, from, len))
		return 0;
	if (!range_within(from, len, a->size))
		return err_set(err, ERR_INTEGRITY, "bytes %llu to %llu lie outside the file",
			       (unsigned long long)from, (unsigned long long)(from + len));
	return await_counted(a, from, len, NULL, err);
}

int arrival_again(struct arrival *a, uint64_t from, uint64_t len, struct err *err)
{
	struct pollfd room = {.fd = a->set->socket, .events = POLLOUT};
	uint32_t mine;
	int ret;

	if (len == 0 || !range_within(from, len, a->size))
		return err_set(err, ERR_INTEGRITY, "bytes %llu to %llu lie outside the file",
			       (unsigned long long)from, (unsigned long long)(from + len));
	do {
		/* The numbers are in the order of the socket. */
		pthread_mutex_lock(&a->set->lock);
		ret = send_request(a, ARRIVAL_AGAIN, from, len);
		mine = ret == 0 ? ++a->set->asked : 0;
		pthread_mutex_unlock(&a->set->lock);
		if (ret == -EAGAIN && atomic_load(&a->set->interrupted))
			return no_hope(a, err);
		if (ret == -EAGAIN)
			(void)poll(&room, 1, FULL_MS);
	} while (ret == -EAGAIN);
	if (ret < 0)
		return err_sys(err, EIO, WRITER_GONE);
	return await_counted(a, from, len, &mine, err);
}

void arrivals_await_change(struct arrivals *set, uint32_t *generation)
{
	atomic_fetch_add(&set->waiting, 1);
	if (!atomic_load(&set->interrupted))
		sleep_until_change(set, *generation, true);
	atomic_fetch_sub(&set->waiting, 1);
	*generation = atomic_load(&set->header->generation);
}

unsigned arrivals_waiting(const struct arrivals *set)
{
	return atomic_load(&set->blocked);
}

void arrivals_interrupt(struct arrivals *set)
{
	static const struct timespec moment = {.tv_nsec = 100000};

	atomic_store(&set->interrupted, true);
	/* A waiter that has looked before and sleeps only now is woken by the next round. */
	while (atomic_load(&set->waiting) > 0) {
		wake_all(set);
		nanosleep(&moment, NULL);
	}
}

/* --- the writer listens --- */

/* The lock belongs to an open file of this process alone: a mapping keeps the one that it was made of
 * open, and the reader may have mapped that. */
static void lock_map(struct arrivals *set)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", set->map_fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	close(set->map_fd);
	set->map_fd = fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		atomic_store(&set->header->served, 1);
}

void arrivals_serve(struct arrivals *set, int socket_fd)
{
	lock_map(set);
	set->socket = socket_fd;
	(void)fcntl(socket_fd, F_SETFL, fcntl(socket_fd, F_GETFL) | O_NONBLOCK);
}

/* A message that makes sense becomes a request. */
static bool take_message(struct arrivals *set, const struct arrival_message *message,
			 struct arrivals_request *request)
{
	struct arrival *a;

	if (message->file >= set->files || message->kind < ARRIVAL_HINT ||
	    message->kind > ARRIVAL_AGAIN)
		return false;
	a = &set->file[message->file];
	if (message->len == 0 || !range_within(message->from, message->len, a->size))
		return false;
	if (message->kind == ARRIVAL_AGAIN) {
		arrival_drop(a, message->from, message->len);
		atomic_fetch_add(&set->header->taken, 1);
		next_generation(set);
	}
	*request = (struct arrivals_request){
		.file = message->file,
		.from = message->from,
		.len = message->len,
		.now = message->kind != ARRIVAL_HINT,
		.again = message->kind == ARRIVAL_AGAIN,
	};
	return !arrival_has(a, request->from, request->len);
}

int arrivals_next(struct arrivals *set, struct arrivals_request *request)
{
	for (;;) {
		struct arrival_message message;
		ssize_t got = recv(set->socket, &message, sizeof(message), MSG_TRUNC);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? 0 : -EPIPE;
		if (got == 0)
			return -EPIPE;
		if (got == sizeof(message) && take_message(set, &message, request))
			return 1;
	}
}
