#include "tests/support/tls_files.h"

#include "base/clock.h"
#include "embedded/process.h"
#include "tests/support/rpc_loopback.h"

#include <criterion/criterion.h>

/* Elliptic curves, because their keys are made in no time. */
static const char script[] =
    "set -e\n"
    "cd \"$1\"\n"
    "exec 2>openssl.log\n"
    "key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n"
    "authority() { openssl req -x509 $key -days 2 -subj \"/CN=$1\" -keyout \"$1.key\" -out \"$1.pem\"; }\n"
    "signed() {\n"
    "    openssl req $key -subj \"/CN=$1\" -keyout \"$1.key\" -out \"$1.csr\"\n"
    "    echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' >names\n"
    "    openssl x509 -req -in \"$1.csr\" -CA \"$2.pem\" -CAkey \"$2.key\" -set_serial \"$3\" -days 2 \\\n"
    "        -extfile names -out \"$1.pem\"\n"
    "}\n"
    "authority trusted\n"
    "authority other\n"
    "signed server trusted 1\n"
    "signed client trusted 2\n"
    "signed other-client other 3\n";

void tls_files_make(const char *folder)
{
    const char *const argv[] = {"sh", "make.sh", ".", NULL};
    const struct process_options options = {.argv = argv, .directory = folder};
    error err = {.code = STATUS_OK};
    rpc_folder_write(folder, "make.sh", script);
    cr_assert(process_run(&options, 30 * CLOCK_SECOND, &err), "%s", err.message);
}
