/* See written.h. */
#include "cli/written.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cli/json_out.h"
#include "cli/print_line.h"
#include "host/parse.h"

int written_print(const char *path, const char *digest, const char *parent, bool json,
		  struct err *err)
{
	struct stat st;

	if (output_is_stream(path)) /* standard output is the appliance */
		return 0;
	if (stat(path, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (json)
		json_out(json_pack("{s:s,s:s,s:I,s:b,s:s*}", "file", path, "digest", digest,
				   "bytes", (json_int_t)st.st_size, "increment", parent != NULL,
				   "parent", parent));
	else
		print_line(stdout, "%s: %.1f MiB, %s%s%s", path, (double)st.st_size / 1048576.0,
			   digest, parent != NULL ? ", an increment that needs " : "",
			   parent != NULL ? parent : "");
	return 0;
}
