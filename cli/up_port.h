#ifndef CASEWORK_CLI_UP_PORT_H
#define CASEWORK_CLI_UP_PORT_H

#include <stdbool.h>
#include <stdint.h>

/* Can somebody listen on this port of 127.0.0.1? */
bool up_port_is_free(uint16_t port);

/* Does somebody listen on 127.0.0.1 there? */
bool up_port_answers(uint16_t port);

/*
 * A free port from below those that the kernel gives to outgoing connections: so it stays free while its
 * service is being started again. 0 if there is none. Each call gives another one.
 */
uint16_t up_port_find(void);

#endif
