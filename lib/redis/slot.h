#ifndef CASEWORK_REDIS_SLOT_H
#define CASEWORK_REDIS_SLOT_H

/* Where a key lives in a Redis Cluster: CRC-16/XMODEM of the key modulo 16384, or of what stands between the
 * first { and the next }, unless that is empty (Redis Cluster specification, "Key distribution model"). */

#include <stddef.h>

enum { REDIS_SLOTS = 16384 };

int redis_slot(const char *key, size_t length);

#endif
