#ifndef CASEWORK_RPC_STATUS_DETAILS_H
#define CASEWORK_RPC_STATUS_DETAILS_H

/* error ↔ google.rpc.Status, which travels in `grpc-status-details-bin` (AIP-193). */

#include "base/error.h"

#include <stddef.h>

enum { STATUS_DETAILS_SIZE = 4096 }; /* enough for any error: its texts have fixed sizes */

/*
 * Writes the packed Status; returns its length, 0 when the error has no more to tell than code and message.
 * An error that waiting mends (UNAVAILABLE, what is full or busy) has a RetryInfo, its own or a short one.
 */
size_t status_details_encode(const error *err, unsigned char data[STATUS_DETAILS_SIZE]);

/* Fills reason, metadata, violations and retry time from the bytes; code and message are set before. Ignores
 * what is odd. */
void status_details_decode(const void *data, size_t length, error *err);

#endif
