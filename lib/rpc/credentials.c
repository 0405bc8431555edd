#include "rpc/credentials.h"

#include "rpc/files.h"

#include <stdlib.h>

enum { PEM_BYTES_MAX = 1 << 20 };

static bool named(const char *file)
{
    return file && *file;
}

/* NULL text for a file that is not named. */
static bool read_pem(const char *file, char **ret_text, error *err)
{
    if (!named(file))
        return true;
    return file_read(file, PEM_BYTES_MAX, ret_text, NULL, err);
}

bool credentials_for_server(const char *certificate_file, const char *key_file, const char *client_ca_file,
                            grpc_server_credentials **ret_credentials, error *err)
{
    if (!named(certificate_file) && !named(key_file) && !named(client_ca_file)) {
        *ret_credentials = grpc_insecure_server_credentials_create();
        return true;
    }
    if (!named(certificate_file) || !named(key_file))
        return error_set(err, STATUS_FAILED_PRECONDITION, "TLS_INCOMPLETE",
                         "TLS needs a certificate and its key");
    char *certificate = NULL, *key = NULL, *ca = NULL;
    bool read = read_pem(certificate_file, &certificate, err) && read_pem(key_file, &key, err) &&
                read_pem(client_ca_file, &ca, err);
    if (read) {
        grpc_ssl_pem_key_cert_pair pair = {.private_key = key, .cert_chain = certificate};
        *ret_credentials = grpc_ssl_server_credentials_create_ex(
            ca, &pair, 1,
            ca ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
               : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            NULL);
    }
    free(certificate);
    free(key);
    free(ca);
    return read;
}

bool credentials_for_client(const char *ca_file, const char *certificate_file, const char *key_file,
                            grpc_channel_credentials **ret_credentials, error *err)
{
    if (!named(ca_file)) {
        *ret_credentials = grpc_insecure_credentials_create();
        return true;
    }
    if (named(certificate_file) != named(key_file))
        return error_set(err, STATUS_FAILED_PRECONDITION, "TLS_INCOMPLETE", "a certificate needs its key");
    char *certificate = NULL, *key = NULL, *ca = NULL;
    bool read = read_pem(certificate_file, &certificate, err) && read_pem(key_file, &key, err) &&
                read_pem(ca_file, &ca, err);
    if (read) {
        grpc_ssl_pem_key_cert_pair pair = {.private_key = key, .cert_chain = certificate};
        *ret_credentials = grpc_ssl_credentials_create_ex(ca, certificate ? &pair : NULL, NULL, NULL);
    }
    free(certificate);
    free(key);
    free(ca);
    return read;
}
