#ifndef CASEWORK_TESTS_SUPPORT_TLS_FILES_H
#define CASEWORK_TESTS_SUPPORT_TLS_FILES_H

/*
 * Makes certificates by openssl in a folder of rpc_folder_make: trusted.pem and other.pem are authorities;
 * the first has signed server.pem (for localhost and 127.0.0.1) and client.pem, the second other-client.pem.
 * The keys are beside them, named *.key. Before grpc_init, since it forks. Fails the test when it cannot be
 * done.
 */
void tls_files_make(const char *folder);

#endif
