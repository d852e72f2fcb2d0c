/* Made by minisign 0.11; the passphrase is VECTOR_PASSPHRASE (and little memory kept the limits
 * low). */
#ifndef TORPOR_TESTS_MINISIGN_VECTORS_H
#define TORPOR_TESTS_MINISIGN_VECTORS_H

#define VECTOR_MESSAGE	  "{\"a config\":\"of some appliance\"}\n"
#define VECTOR_PASSPHRASE "correct horse"
#define VECTOR_PLAIN_ID	  "05D8CF72FE5E22C8"

/* minisign -G -W */
static const char vector_plain_pub[] = "untrusted comment: minisign public key 5D8CF72FE5E22C8\n"
				       "RWTIIl7+cs/YBQPbjnpjeLDCkXZK4MAAxDeGoTFEpRTs9W0RdbfbjmqX\n";

static const char vector_plain_key[] =
	"untrusted comment: made by minisign 0.11\n"
	"RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAyCJe/nLP"
	"2AVpEGcEBLbWtOpXfUycMDcvkSnNsuFULfGvkpHxWkiS8wPbjnpjeLDCkXZK4MAAxDeGoTFEpRTs9W0R"
	"dbfbjmqXAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

/* minisign -G */
static const char vector_locked_pub[] =
	"untrusted comment: minisign public key ACBA75F124B5815B\n"
	"RWRbgbUk8XW6rGrONE5ReuUkdN0dflJPu56Edd2XifMzJsK2tdOCqliX\n";

static const char vector_locked_key[] =
	"untrusted comment: minisign encrypted secret key\n"
	"RWRTY0IyeDew4HPVWOAs9N6TzehDB0leDuKlxZcG1D8HPF5shQQAABAAAAAAAAAAAAIAAAAAl4JWkXe7"
	"0sYY6j1wMxgIXVgV3TW1J7RfB36bcEMspSitIE3q7fpyxocw7oDppez+8/hc8jdL2bfK13JYNNPTAQYp"
	"+e8uK6y05qJF+8mmkyn/ko/LpHU086P/xDCe/Dru7o2pts+oCVk=\n";

/* minisign -S with each of them */
static const char vector_plain_sig[] =
	"untrusted comment: signature from minisign secret key\n"
	"RUTIIl7+cs/YBfT7ZnxWSDXk/PWRXJiHCzDcie+TLQwWKubarP45bv0IP2YlK9n95Mt7SZjQEUPjz4lU"
	"U/s8dLQxV0jfL5QLnQ8=\n"
	"trusted comment: all of it is good\n"
	"4kCU1X3MwwMTVk/AkKep0FTxVciQM42fRXHDUg+P6h272ZhsWfA60X0FOILNRMHsZxWJ0CKqT7kkjuO7"
	"hfI1Bg==\n";

static const char vector_locked_sig[] =
	"untrusted comment: signature from minisign secret key\n"
	"RURbgbUk8XW6rIZq+fK3P4H8xllbYyt+hTPFfZEujqFR4Tq7tP4950MVyW35roJlwZxZ/uwTk+ej/U7/"
	"SFousl86J/Vjwmd9Ggg=\n"
	"trusted comment: tab\tand \303\274\n"
	"Hp3dt3XU7neebyLbU1pBBxk6ld/vKR6oCS7BvGuM/i3jLQzJxuiNohUARlD6wGu9uVSHPVa+svMXxo/i"
	"/Mq2AQ==\n";

/* minisign -S -l with the first: of the message itself */
static const char vector_legacy_sig[] =
	"untrusted comment: signature from minisign secret key\n"
	"RWTIIl7+cs/YBd8B7XqO0W28D91l0CcHqhkGbGrFnUwlNlwN/KDA3X+0nLmjHo2pmkdRDUSR563HJIUl"
	"a9aMr7lTRsAB5D9+rQE=\n"
	"trusted comment: old\n"
	"AOkbepMR0b42LEPYYtw2Avx+OWxnbSNjDtz221s6HIWKk+/2y70oPwULCkPvkW3RjqDEIjSlvBkqfNZi"
	"3zL7Bg==\n";

#endif
