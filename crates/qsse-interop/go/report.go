package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
)

// report writes JSON lines on standard output, from any goroutine.
type report struct {
	mutex sync.Mutex
	out   *bufio.Writer
}

func newReport() *report {
	return &report{out: bufio.NewWriter(os.Stdout)}
}

// line writes one at once. Who stops reading ends the program.
func (r *report) line(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	_, _ = r.out.Write(append(text, '\n'))
	if r.out.Flush() != nil {
		os.Exit(1)
	}
}

type object map[string]any
