/* See move_stream.h. */
#include "move/move_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/printable.h"

#define HEADER 8u
#define LINE   64u
#define CHUNK  65536u

static const char target_words[] = "torpor receive ";
static const char source_words[] = "torpor move ";

static int write_failed(int ret, struct err *err)
{
	if (ret != -EPIPE && ret != -ECONNRESET)
		return err_sys(err, -ret, "write to the other side");
	err_set(err, ERR_FAILED, "the connection to the other side has ended");
	return -EPIPE;
}

/* All of `len` bytes. */
static int read_all(int fd, void *dst, size_t len, struct err *err)
{
	int64_t got = io_read_upto(fd, dst, len);

	if (got == (int64_t)len)
		return 0;
	if (got < 0 && got != -ECONNRESET)
		return err_sys(err, (int)-got, "read from the other side");
	err_set(err, ERR_FAILED, "the connection to the other side has ended");
	return -EPIPE;
}

int move_send(int fd, enum move_type type, const void *body, uint32_t len, struct err *err)
{
	uint8_t header[HEADER];
	int ret;

	le_put32(header, type);
	le_put32(header + 4, len);
	ret = io_write(fd, header, sizeof(header));
	if (ret < 0)
		return write_failed(ret, err);
	ret = io_write(fd, body, len);
	return ret < 0 ? write_failed(ret, err) : 0;
}

int move_receive(int fd, struct move_message *message, struct err *err)
{
	uint8_t header[HEADER];
	int ret = read_all(fd, header, sizeof(header), err);

	if (ret < 0)
		return ret;
	*message = (struct move_message){.type = le_get32(header), .len = le_get32(header + 4)};
	switch (message->type) {
	case MOVE_DATA:
		if (message->len == 0 || message->len > MOVE_DATA_MAX)
			break;
		return 0;
	case MOVE_RUNNING:
	case MOVE_FAILED:
		if (message->len > MOVE_TEXT_MAX)
			break;
		return read_all(fd, message->text, message->len, err);
	case MOVE_END:
	case MOVE_READY:
	case MOVE_GO:
	case MOVE_GO_PAUSED:
		if (message->len != 0)
			break;
		return 0;
	}
	return err_set(err, ERR_INTEGRITY,
		       "the other side sent what is no message (type %u, %u bytes)",
		       (unsigned)message->type, message->len);
}

int move_receive_data(int fd, uint32_t len, int out, struct err *err)
{
	uint8_t chunk[CHUNK];

	while (len > 0) {
		uint32_t part = len < sizeof(chunk) ? len : (uint32_t)sizeof(chunk);
		int ret = read_all(fd, chunk, part, err);

		if (ret < 0)
			return ret;
		ret = io_write(out, chunk, part);
		if (ret < 0)
			return err_sys(err, -ret, "keep what arrives");
		len -= part;
	}
	return 0;
}

/* One line without its end, a byte at a time: what is behind it is not ours. Longer ones come in
 * parts. */
static int read_line(int fd, char line[LINE], struct err *err)
{
	size_t len = 0;

	while (len + 1 < LINE) {
		int ret = read_all(fd, &line[len], 1, err);

		line[len + (ret == 0)] = '\0';
		if (ret < 0)
			return ret;
		if (line[len] == '\n')
			break;
		len++;
	}
	line[len] = '\0';
	return 0;
}

static int check_version(const char *line, const char *words, struct err *err)
{
	char *end;
	unsigned long version = strtoul(line + strlen(words), &end, 10);

	if (end == line + strlen(words) || *end != '\0' || version < MOVE_VERSION)
		return err_set(err, ERR_INCOMPATIBLE,
			       "the other side speaks no version of this protocol "
			       "that this torpor does");
	return 0;
}

static int say_hello(int out, const char *words, struct err *err)
{
	char line[LINE];
	int len = snprintf(line, sizeof(line), "%s%u\n", words, MOVE_VERSION);
	int ret = io_write(out, line, (uint64_t)len);

	return ret < 0 ? write_failed(ret, err) : 0;
}

int move_hello_source(int in, int out, struct err *err)
{
	char line[LINE] = "", last[LINE] = "";
	uint32_t read = 0;
	int ret;

	do {
		if (line[0] != '\0')
			memcpy(last, line, sizeof(last));
		ret = read_line(in, line, err);
		read += (uint32_t)strlen(line) + 1;
		if (ret == -EPIPE) {
			const char *said = line[0] != '\0' ? line : last;
			char text[LINE];

			snprintf(text, sizeof(text), "%s", said);
			printable(text);
			err_set(err, ERR_FAILED,
				"the command ended before a torpor receive answered%s%s",
				text[0] != '\0' ? "; it said last: " : "", text);
			return -EPIPE;
		}
		if (ret < 0)
			return ret;
		if (read > MOVE_PREAMBLE_MAX)
			return err_set(err, ERR_FAILED,
				       "the command is no torpor receive: it says other "
				       "things without end");
	} while (strncmp(line, target_words, strlen(target_words)) != 0);
	ret = check_version(line, target_words, err);
	return ret < 0 ? ret : say_hello(out, source_words, err);
}

int move_hello_target(int in, int out, struct err *err)
{
	char line[LINE];
	int ret = say_hello(out, target_words, err);

	if (ret < 0)
		return ret;
	ret = read_line(in, line, err);
	if (ret < 0)
		return ret;
	if (strncmp(line, source_words, strlen(source_words)) != 0)
		return err_set(err, ERR_USAGE,
			       "standard input is no torpor move: this is what its command runs "
			       "on the other host");
	return check_version(line, source_words, err);
}
