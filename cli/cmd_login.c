/* torpor login: keep credentials for a registry, once it has taken them. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "cli/command.h"
#include "cli/passphrase.h"
#include "cli/print_line.h"
#include "cli/registry_args.h"
#include "registry/credentials.h"

#define OPTION_PASSWORD_STDIN (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{'u', "username", "USER", "who you are there"},
	{OPTION_PASSWORD_STDIN, "password-stdin", NULL,
	 "the password is the first line of standard input; otherwise it is asked for"},
	REGISTRY_OPTIONS,
	{0},
};

struct login_args {
	struct registry_options registry;
	const char *user;
	bool password_stdin;
	const char *host;
};

static int cmd_login_parse(struct options *opts, struct login_args *args, struct err *err)
{
	int id, ret;

	while ((id = options_next(opts, err)) > 0) {
		ret = registry_args_take(&args->registry, id, opts->value, err);
		if (ret < 0)
			return ret;
		if (id == 'u')
			args->user = opts->value;
		else if (id == OPTION_PASSWORD_STDIN)
			args->password_stdin = true;
	}
	if (id < 0)
		return id;
	ret = options_one_operand(opts, "HOST", &args->host, err);
	if (ret < 0)
		return ret;
	return args->user != NULL && args->user[0] != '\0' && strchr(args->user, ':') == NULL
		       ? 0
		       : err_set(err, ERR_USAGE, "--username USER, without a colon, is needed");
}

static int login_credentials(const struct login_args *args, struct credentials *c, struct err *err)
{
	cleanup_passphrase struct passphrase password = {0};
	int ret;

	if (strlen(args->user) >= sizeof(c->user))
		return err_set(err, ERR_USAGE, "the user name is too long");
	ret = password_read(&password, args->password_stdin, args->host, err);
	if (ret < 0)
		return ret;
	strcpy(c->user, args->user);
	memcpy(c->secret, password.text, password.len);
	c->secret[password.len] = '\0';
	return 0;
}

static int login(struct login_args *args, const struct reference *ref, struct err *err)
{
	cleanup_credentials struct credentials c = {0};
	cleanup_registry struct registry *r = NULL;
	char path[PATH_MAX];
	int ret = login_credentials(args, &c, err);

	if (ret < 0)
		return ret;
	args->registry.credentials = &c;
	ret = registry_open(&r, ref, &args->registry, err);
	if (ret == 0)
		ret = registry_check(r, err);
	if (ret < 0)
		return ret;
	ret = credentials_store(ref->host, &c, path, err);
	if (ret < 0)
		return ret;
	print_line(stdout, "%s: logged in as %s; kept by %s", ref->host, args->user, path);
	return 0;
}

static int cmd_login_run(struct options *opts, struct err *err)
{
	struct login_args args = {0};
	struct reference ref;
	int ret = cmd_login_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = registry_args_host(&ref, args.host, err);
	return ret < 0 ? ret : login(&args, &ref, err);
}

const struct command cmd_login = {
	.name = "login",
	.args = "HOST[:PORT]",
	.summary = "log in to a registry, or a web server",
	.detail =
		"The registry is asked first. Then the credentials are kept where docker keeps "
		"them: "
		"in the file that "
		"REGISTRY_AUTH_FILE names, else ~/.docker/config.json, or by the credential helper "
		"that it names. Where podman's auth.json has some for HOST already, which come "
		"first, these take their place. "
		"Without a helper the password is in that file as it is.\n\n"
		"HOST may be a web server with passwords (Basic), too: resume https://HOST/FILE "
		"uses them.",
	.options = options,
	.run = cmd_login_run,
};
