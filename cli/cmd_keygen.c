/* torpor keygen: a key pair to sign appliances with. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "cli/command.h"
#include "cli/passphrase.h"
#include "cli/print_line.h"
#include "format/crypto/sign.h"

#define NO_PASSPHRASE (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{'p', "public", "FILE", "public key to write; default torpor.pub"},
	{'s', "secret", "FILE", "secret key to write; default torpor.key"},
	{NO_PASSPHRASE, "no-passphrase", NULL, "leave the secret key unencrypted"},
	OPTION_PASSPHRASE_FILE_SPEC,
	{0},
};

struct keygen_args {
	const char *public;
	const char *secret;
	bool no_passphrase;
	const char *passphrase_file;
};

static int cmd_keygen_parse(struct options *opts, struct keygen_args *args, struct err *err)
{
	int id;

	while ((id = options_next(opts, err)) > 0) {
		if (id == 'p')
			args->public = opts->value;
		else if (id == 's')
			args->secret = opts->value;
		else if (id == NO_PASSPHRASE)
			args->no_passphrase = true;
		else if (id == OPTION_PASSPHRASE_FILE)
			args->passphrase_file = opts->value;
		else
			assert(false);
	}
	if (id < 0)
		return id;
	if (args->no_passphrase && args->passphrase_file != NULL)
		return err_set(err, ERR_USAGE,
			       "--no-passphrase and --passphrase-file exclude each "
			       "other");
	return options_end(opts, err);
}

/* Before anybody types a passphrase; write_new() makes sure of it. */
static int refuse_existing(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		return err_set(err, ERR_FAILED, "%s exists, and keys are not overwritten", path);
	return errno == ENOENT ? 0 : err_sys(err, errno, "%s", path);
}

static int write_new(const char *path, mode_t mode, const char *text, size_t len, struct err *err)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "create %s", path);
	ret = io_pwrite(fd, text, len, 0);
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	if (ret == 0)
		return 0;
	unlink(path);
	return err_sys(err, -ret, "write %s", path);
}

static int write_pair(const struct keygen_args *args, const struct minisign_public *public,
		      const struct minisign_secret *secret, struct err *err)
{
	char text[MINISIGN_TEXT];
	size_t len = minisign_secret_encode(secret, text);
	int ret = write_new(args->secret, 0600, text, len, err);

	explicit_bzero(text, sizeof(text));
	if (ret < 0)
		return ret;
	len = minisign_public_encode(public, text);
	ret = write_new(args->public, 0644, text, len, err);
	if (ret < 0)
		unlink(args->secret);
	return ret;
}

static int lock_secret(const struct keygen_args *args, struct minisign_secret *secret,
		       struct err *err)
{
	cleanup_passphrase struct passphrase passphrase = {.len = 0};
	int ret = passphrase_read(&passphrase, args->passphrase_file, args->secret, true, err);

	return ret < 0 ? ret : sign_key_lock(secret, passphrase.text, passphrase.len, err);
}

static int generate(const struct keygen_args *args, struct minisign_secret *secret, struct err *err)
{
	char line[MINISIGN_KEY_LINE + 1], id[MINISIGN_ID_TEXT];
	struct minisign_public public;
	int ret = sign_key_new(secret, err);

	if (ret < 0)
		return ret;
	sign_key_public(secret, &public);
	if (!args->no_passphrase) {
		ret = lock_secret(args, secret, err);
		if (ret < 0)
			return ret;
	}
	ret = write_pair(args, &public, secret, err);
	if (ret < 0)
		return ret;
	minisign_id_text(public.id, id);
	minisign_public_line(&public, line);
	printf("key         %s\n", id);
	print_line(stdout, "secret      %s%s", args->secret,
		   args->no_passphrase ? ", not encrypted" : "");
	print_line(stdout, "public      %s", args->public);
	printf("            %s\n", line);
	return 0;
}

static int cmd_keygen_run(struct options *opts, struct err *err)
{
	struct keygen_args args = {.public = "torpor.pub", .secret = "torpor.key"};
	struct minisign_secret secret;
	int ret = cmd_keygen_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = refuse_existing(args.secret, err);
	if (ret < 0)
		return ret;
	ret = refuse_existing(args.public, err);
	if (ret < 0)
		return ret;
	ret = generate(&args, &secret, err);
	sign_key_wipe(&secret);
	return ret;
}

const struct command cmd_keygen = {
	.name = "keygen",
	.args = "",
	.summary = "make a key pair to sign appliances with",
	.detail = "The files are minisign's: it can use these keys, and torpor those it made. The "
		  "secret\n"
		  "key is encrypted with a passphrase. Give the public one to those who are to "
		  "trust it.",
	.options = options,
	.run = cmd_keygen_run,
};
