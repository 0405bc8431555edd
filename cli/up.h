#ifndef CASEWORK_CLI_UP_H
#define CASEWORK_CLI_UP_H

/*
 * `casework up`: everything on one machine. A private PostgreSQL and Redis, keys, migrations, the four
 * services in any number of replicas; what dies is started again; SIGTERM, SIGINT and SIGHUP stop everything
 * in order.
 *
 * Returns the exit status: 0 when everything was stopped in order, 1 when something could not be started or a
 * service did not end cleanly, 2 for wrong arguments.
 */
int up_main(int argc, char **argv);

#endif
