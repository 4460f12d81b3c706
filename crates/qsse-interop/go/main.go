// A client and a server of the Go library's dialect, for live tests against it.
//
// Built plainly it speaks the dialect itself; with the build tag `real` it drives the library.
// What it is told and what it tells are JSON lines, the same either way.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	var err error
	switch os.Args[1] {
	case "client":
		err = runClient(os.Args[2:])
	case "server":
		err = runServer(os.Args[2:])
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: peer client|server --address HOST:PORT --topics A,B [flags]")
	os.Exit(2)
}

// list is a flag that may come several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// commas splits a flag's value; an empty one is an empty list.
func commas(value string) []string {
	if value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

func flags(name string) *flag.FlagSet {
	return flag.NewFlagSet("peer "+name, flag.ExitOnError)
}
