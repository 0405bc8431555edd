#ifndef CASEWORK_RPC_CREDENTIALS_H
#define CASEWORK_RPC_CREDENTIALS_H

/* Plain text or TLS from PEM files; empty or NULL names mean "none". The caller releases what it gets. */

#include "base/error.h"

#include <grpc/grpc_security.h>
#include <stdbool.h>

/* With `client_ca_file` clients must show a certificate that it has signed. */
bool credentials_for_server(const char *certificate_file, const char *key_file, const char *client_ca_file,
                            grpc_server_credentials **ret_credentials, error *err)
    __attribute__((warn_unused_result));

/* With a certificate and key of its own for mutual TLS. */
bool credentials_for_client(const char *ca_file, const char *certificate_file, const char *key_file,
                            grpc_channel_credentials **ret_credentials, error *err)
    __attribute__((warn_unused_result));

#endif
