// Command recount repairs wrong results of event-driven systems from archived
// events. It has no fold of its own: programs that have call command.Main too.
package main

import "recount/command"

func main() { command.Main() }
