/* What the files of the store share; see cas.h. */
#ifndef TORPOR_STORE_CAS_INTERNAL_H
#define TORPOR_STORE_CAS_INTERNAL_H

#include "store/cas.h"

#define CAS_BLOBS     "blobs/sha256"
#define CAS_PARTIAL   "partial"
#define CAS_ARRIVING  "arriving"
#define CAS_IMAGES    "images"
#define CAS_REFERRERS "referrers" /* in an image: a file of each digest */
#define CAS_INDEXES   "indexes"
#define CAS_REFS      "refs"
#define CAS_NAME      80u /* CAS_PARTIAL "/" and 64 digits */

/* "FOLDER/HEX" of a digest. */
void cas_name(char name[CAS_NAME], const char *folder, const char *digest);
/* The digest that a name of 64 hex digits stands for; false for another name. */
bool cas_is_digest(const char *hex, char digest[DIGEST_TEXT_SIZE]);
/* fsync(2) of a folder in the store. */
int cas_sync(const struct cas *cas, const char *folder, struct err *err);
int cas_error(const struct cas *cas, int errnum, const char *what, struct err *err);
/* The image of an index, `found`, for this host; `name` is what it is called in an error. */
int cas_choose(const struct cas *cas, const char *name, const char *found,
	       char digest[DIGEST_TEXT_SIZE], struct err *err);
/* Call `each` for every name in a folder of the store until it returns something other than 0, and
 * return that. A folder that is missing has no names. */
int cas_each(const struct cas *cas, const char *folder,
	     int (*each)(void *opaque, const char *name, struct err *err), void *opaque,
	     struct err *err);

#endif
