/* "host:port" as listeners and peers are written: "h:1", ":1", "1.2.3.4:1", "[::1]:1". */
#pragma once

#include "base/defs.h"

enum { ADDRESS_HOST_BYTES = 256 };

/* Splits text; the host may be empty (any), brackets are taken off. A scheme "http://" or
 * "https://" and a slash at the end are skipped. false if there is no port of 0...65535 or the host
 * has blanks. */
bool address_split(const char *text, char host[ADDRESS_HOST_BYTES], int *ret_port);

/* The url at which a listener there is asked from this machine, heap; one of all interfaces is asked
 * on the loopback one. NULL if address_split fails. */
char *address_url(const char *address, bool tls);

/* Whether a listener there is reached from this machine only. */
bool address_is_local(const char *address);

enum { ADDRESS_TARGET_BYTES = 256 };

/* The one spelling of a Milvus target's address: host:port in lower case, without scheme, slash at
 * the end or missing port; localhost is 127.0.0.1. Two sessions to one target would be two clocks
 * on its channels. What is no address stays as it is. */
void address_of_target(const char *uri, char out[ADDRESS_TARGET_BYTES]);
