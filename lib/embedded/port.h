#ifndef CASEWORK_EMBEDDED_PORT_H
#define CASEWORK_EMBEDDED_PORT_H

/* Ports of 127.0.0.1 for servers that this process starts. */

#include <stdbool.h>
#include <stdint.h>

/* Can somebody listen there? */
bool port_is_free(uint16_t port);

/* Does somebody listen there? */
bool port_answers(uint16_t port);

/*
 * A free port that no other process is given by this function as long as this one lives: between its being
 * chosen and its server's listening, and while that is started again, it stays free. From below those that
 * the kernel gives to outgoing connections. 0 if there is none. Each call gives another one. Any thread.
 */
uint16_t port_reserve(void);

#endif
