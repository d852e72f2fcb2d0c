/* torpor sign: put a signature into an appliance. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/passphrase.h"
#include "cli/print_line.h"
#include "cli/target.h"
#include "format/convert.h"
#include "format/crypto/sign.h"
#include "host/parse.h"

#define ATTACH (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{'s', "secret", "FILE", "secret key to sign with"},
	{'c', "comment", "TEXT", "what the signature says; default the time and the file's name"},
	{'o', "output", "FILE", "file to write; default the appliance itself is replaced"},
	{ATTACH, "attach", "FILE", "put in this signature of the config, made elsewhere"},
	OPTION_PASSPHRASE_FILE_SPEC,
	{0},
};

struct sign_args {
	const char *file;
	const char *secret;
	const char *comment;
	const char *output;
	const char *attach;
	const char *passphrase_file;
};

static int cmd_sign_parse(struct options *opts, struct sign_args *args, struct err *err)
{
	int id, ret;

	while ((id = options_next(opts, err)) > 0) {
		if (id == 's')
			args->secret = opts->value;
		else if (id == 'c')
			args->comment = opts->value;
		else if (id == 'o')
			args->output = opts->value;
		else if (id == ATTACH)
			args->attach = opts->value;
		else if (id == OPTION_PASSPHRASE_FILE)
			args->passphrase_file = opts->value;
		else
			assert(false);
	}
	if (id < 0)
		return id;
	if ((args->secret != NULL) == (args->attach != NULL))
		return err_set(err, ERR_USAGE, "one of --secret and --attach is needed");
	if (args->attach != NULL && (args->comment != NULL || args->passphrase_file != NULL))
		return err_set(err, ERR_USAGE,
			       "--attach puts in a signature as it is: no --comment, no "
			       "--passphrase-file");
	ret = options_one_operand(opts, "FILE or NAME", &args->file, err);
	if (ret < 0)
		return ret;
	if (args->output == NULL)
		return 0;
	ret = parse_output(args->output, err);
	if (ret < 0)
		return ret;
	ret = output_spares(args->output, args->secret, err);
	return ret < 0 ? ret : output_spares(args->output, args->attach, err);
}

/* A small file of text, whole. */
static int read_text(const char *path, char text[MINISIGN_TEXT + 1], size_t *len, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	int64_t got = fd >= 0 ? io_read_upto(fd, text, MINISIGN_TEXT + 1) : -errno;

	if (got < 0)
		return err_sys(err, (int)-got, "%s", path);
	*len = (size_t)got;
	return 0;
}

static int read_key(const struct sign_args *args, struct minisign_secret *key, struct err *err)
{
	char text[MINISIGN_TEXT + 1];
	size_t len;
	int ret = read_text(args->secret, text, &len, err);

	if (ret < 0)
		return ret;
	ret = minisign_secret_decode(key, text, len, err);
	explicit_bzero(text, sizeof(text));
	return ret < 0 ? err_context(err, ret, "%s", args->secret) : 0;
}

static int open_key(const struct sign_args *args, struct minisign_secret *key, struct err *err)
{
	cleanup_passphrase struct passphrase passphrase = {.len = 0};
	int ret = read_key(args, key, err);

	if (ret < 0)
		return ret;
	if (!key->is_locked && args->passphrase_file != NULL)
		return err_set(err, ERR_USAGE,
			       "%s has no passphrase: --passphrase-file is not used", args->secret);
	if (key->is_locked) {
		ret = passphrase_read(&passphrase, args->passphrase_file, args->secret, false, err);
		if (ret < 0)
			return ret;
	}
	ret = sign_key_unlock(key, passphrase.text, passphrase.len, err);
	return ret < 0 ? err_context(err, ret, "%s", args->secret) : 0;
}

/* As minisign words it. */
static void default_comment(const char *file, char comment[MINISIGN_COMMENT + 1])
{
	const char *slash = strrchr(file, '/');

	file = slash != NULL ? slash + 1 : file;
	snprintf(comment, MINISIGN_COMMENT + 1, "timestamp:%lld\tfile:%s\thashed",
		 (long long)time(NULL), minisign_comment_ok(file) ? file : "?");
}

/* What makes the signature: got ready before a byte of the appliance is read. */
struct pen {
	struct minisign_secret key;	    /* when there is no --attach */
	struct minisign_signature attached; /* otherwise */
};

static int read_attached(const char *path, struct minisign_signature *sig, struct err *err)
{
	char text[MINISIGN_TEXT + 1];
	size_t len;
	int ret = read_text(path, text, &len, err);

	if (ret < 0)
		return ret;
	ret = minisign_signature_decode(sig, text, len, err);
	return ret < 0 ? err_context(err, ret, "%s", path) : 0;
}

static int make_signature(const struct sign_args *args, const struct pen *pen,
			  const uint8_t *config, size_t len, struct minisign_signature *sig,
			  struct err *err)
{
	char comment[MINISIGN_COMMENT + 1];

	if (args->attach != NULL) {
		*sig = pen->attached;
		return 0;
	}
	default_comment(args->output, comment);
	return sign_message(sig, &pen->key, config, len,
			    args->comment != NULL ? args->comment : comment, err);
}

/* What is damaged is not signed. */
static int sign_archive(const struct sign_args *args, const struct pen *pen, struct archive *a,
			struct err *err)
{
	char text[MINISIGN_TEXT], id[MINISIGN_ID_TEXT];
	const struct convert_params params = {.signature = text};
	cleanup_free uint8_t *config = NULL;
	struct minisign_signature sig;
	size_t len;
	int ret = archive_config(a, &config, &len, err);

	if (ret < 0)
		return ret;
	ret = make_signature(args, pen, config, len, &sig, err);
	if (ret < 0)
		return ret;
	minisign_signature_encode(&sig, text);
	ret = convert_archive(a, args->output, &params, err);
	if (ret < 0)
		return ret;
	minisign_id_text(sig.id, id);
	if (!output_is_stream(args->output))
		print_line(stdout, "%s: signed by key %s", args->output, id);
	return 0;
}

static int sign_file(struct sign_args *args, const struct pen *pen, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	struct target found;
	int ret;

	if (args->output == NULL && strcmp(args->file, "-") == 0) {
		args->output = args->file;
		ret = parse_output(args->output, err);
		if (ret < 0)
			return ret;
	}
	if (args->output == NULL) {
		ret = target_find_file(&found, args->file, err);
		if (ret == 0 && found.kind == TARGET_IMAGE)
			ret = err_set(
				err, ERR_USAGE,
				"%s is an image, which never changes: -o FILE says what to write",
				args->file);
		if (ret < 0)
			return ret;
	}
	ret = input_open_archive(&a, args->file, NULL, SANDBOX_CREATE, err);
	if (ret < 0)
		return ret;
	if (args->output == NULL)
		args->output = archive_path(a);
	return sign_archive(args, pen, a, err);
}

static void pen_wipe(struct pen *pen)
{
	sign_key_wipe(&pen->key);
}

static int cmd_sign_run(struct options *opts, struct err *err)
{
	__attribute__((cleanup(pen_wipe))) struct pen pen = {0};
	struct sign_args args = {0};
	int ret = cmd_sign_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = args.attach != NULL ? read_attached(args.attach, &pen.attached, err)
				  : open_key(&args, &pen.key, err);
	return ret < 0 ? ret : sign_file(&args, &pen, err);
}

const struct command cmd_sign = {
	.name = "sign",
	.args = "FILE|NAME",
	.summary = "put a signature into an appliance",
	.detail = "What is signed is the config, which names all contents by digest: packing and "
		  "warming leave\n"
		  "the signature good. It takes the place of the one before. torpor keygen makes "
		  "keys.",
	.options = options,
	.run = cmd_sign_run,
};
