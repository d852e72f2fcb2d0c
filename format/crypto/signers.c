/* See signers.h. */
#include "format/crypto/signers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "format/crypto/sign.h"

static int add_signer(struct signers *signers, const struct signer *signer, struct err *err)
{
	struct signer *grown;

	if (signers->count == SIGNERS_MAX)
		return err_set(err, ERR_FAILED, "more than %u keys", SIGNERS_MAX);
	grown = array_grow(signers->list, signers->count, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "keys");
	signers->list = grown;
	grown[signers->count++] = *signer;
	return 0;
}

static void name_after(struct signer *signer, const char *file)
{
	const char *slash = strrchr(file, '/');

	/* It will be shown. */
	file = slash != NULL ? slash + 1 : file;
	if (minisign_comment_ok(file))
		snprintf(signer->name, sizeof(signer->name), "%s", file);
}

static int add_open_file(struct signers *signers, int fd, const char *file, struct err *err)
{
	struct signer signer = {.name = ""};
	char text[MINISIGN_TEXT + 1];
	int64_t len = io_read_upto(fd, text, sizeof(text));
	int ret;

	if (len < 0)
		return err_sys(err, (int)-len, "%s", file);
	ret = minisign_public_decode(&signer.key, text, (size_t)len, err);
	if (ret < 0)
		return err_context(err, ret, "%s", file);
	name_after(&signer, file);
	return add_signer(signers, &signer, err);
}

int signers_add_key(struct signers *signers, const char *key_or_file, struct err *err)
{
	struct signer signer = {.name = ""};
	cleanup_fd int fd = -1;

	if (minisign_public_decode(&signer.key, key_or_file, strlen(key_or_file), NULL) == 0)
		return add_signer(signers, &signer, err);
	fd = open(key_or_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, errno, "public key %s", key_or_file);
	return add_open_file(signers, fd, key_or_file, err);
}

/* Whoever can write here decides what is trusted. */
static int check_owner(int fd, const char *name, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", name);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022) != 0)
		return err_set(err, ERR_FAILED,
			       "%s must be yours or root's, and writable by nobody else", name);
	return 0;
}

static int add_from_folder(struct signers *signers, int folder, const char *name, struct err *err)
{
	cleanup_fd int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "%s", name);
	ret = check_owner(fd, name, err);
	return ret < 0 ? ret : add_open_file(signers, fd, name, err);
}

static bool is_key_file(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 4 && strcmp(name + len - 4, ".pub") == 0;
}

static int add_entries(struct signers *signers, DIR *dir, const char *path, struct err *err)
{
	size_t before = signers->count;
	const struct dirent *entry;
	int ret = check_owner(dirfd(dir), path, err);

	if (ret < 0)
		return ret;
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		if (is_key_file(entry->d_name))
			ret = add_from_folder(signers, dirfd(dir), entry->d_name, err);
	}
	if (ret < 0)
		return err_context(err, ret, "%s", path);
	return signers->count > before ? 0 : err_set(err, ERR_FAILED, "no *.pub in %s", path);
}

int signers_add_folder(struct signers *signers, const char *path, struct err *err)
{
	DIR *dir = opendir(path);
	int ret;

	if (dir == NULL)
		return err_sys(err, errno, "trusted keys in %s", path);
	ret = add_entries(signers, dir, path, err);
	closedir(dir);
	return ret;
}

void signers_free(struct signers *signers)
{
	free(signers->list);
	*signers = (struct signers){0};
}

/* Ids are not unique: they are chosen by whoever makes a key. */
static int check_all(const struct signers *signers, const struct minisign_signature *sig,
		     const void *data, size_t len, struct signed_by *by, struct err *err)
{
	int ret =
		err_set(err, ERR_INTEGRITY, "it is signed by key %s, which is not trusted", by->id);

	for (size_t i = 0; ret < 0 && i < signers->count; i++) {
		const struct signer *signer = &signers->list[i];

		if (memcmp(signer->key.id, sig->id, sizeof(sig->id)) != 0)
			continue;
		ret = sign_check(sig, &signer->key, data, len, err);
		snprintf(by->name, sizeof(by->name), "%s", signer->name);
	}
	if (ret == 0)
		err_clear(err);
	return ret;
}

int signers_check(const struct signers *signers, const void *data, size_t len,
		  const char *signature, size_t signature_len, struct signed_by *by,
		  struct err *err)
{
	struct minisign_signature sig;
	struct signed_by own;
	int ret;

	by = by != NULL ? by : &own;
	*by = (struct signed_by){0};
	if (signature == NULL)
		return err_set(err, ERR_INTEGRITY, "it is not signed");
	ret = minisign_signature_decode(&sig, signature, signature_len, err);
	if (ret < 0)
		return err_context(err, ret, "signature");
	minisign_id_text(sig.id, by->id);
	snprintf(by->comment, sizeof(by->comment), "%s", sig.comment);
	return check_all(signers, &sig, data, len, by, err);
}
