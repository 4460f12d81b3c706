package main

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"
)

// clientOptions is what a client is made of.
type clientOptions struct {
	address  string
	topics   []string
	token    string
	handlers []string
}

// received is what a client calls; it may do so from any goroutine.
type received struct {
	// event gets the topic that the library hands over: the pattern that matched.
	event func(topic string, data []byte, via string)
	error func(code int, data map[string]any)
}

func runClient(arguments []string) error {
	var options clientOptions
	set := flags("client")
	set.StringVar(&options.address, "address", "", "the server's address")
	topics := set.String("topics", "", "topics, separated by commas")
	set.StringVar(&options.token, "token", "", "the token")
	set.Var((*list)(&options.handlers), "handler", "a topic with a handler of its own, repeatable")
	count := set.Uint64("count", 0, "end after this many events")
	onlyTally := set.Bool("tally", false, "count the events instead of printing them")
	clients := set.Int("clients", 1, "how many clients this process is")
	_ = set.Parse(arguments)
	options.topics = commas(*topics)

	out := newReport()
	tally := &tally{last: map[origin]uint64{}}
	var ready sync.WaitGroup
	ready.Add(*clients)
	lost := make(chan error, *clients)
	for client := range *clients {
		calls := received{
			event: func(topic string, data []byte, via string) {
				if !*onlyTally {
					out.line(object{"topic": topic, "data": data, "via": via})
				}
				seen := tally.add(origin{client, topic}, data)
				if *count > 0 && seen >= *count {
					if *onlyTally {
						out.line(tally.line())
					}
					os.Exit(0)
				}
			},
			error: func(code int, data map[string]any) {
				out.line(object{"error": object{"code": code, "data": data}})
			},
		}
		go func() { lost <- connect(options, calls, ready.Done) }()
	}
	go func() {
		ready.Wait()
		out.line(object{"ready": true})
	}()
	if *onlyTally {
		go func() {
			for range time.Tick(time.Second) {
				out.line(tally.line())
			}
		}()
	}
	return <-lost
}

// tally counts events, and looks at the numbers that payloads begin with.
type tally struct {
	mutex   sync.Mutex
	count   uint64
	bytes   uint64
	missing uint64
	jumbled bool
	last    map[origin]uint64
	start   time.Time
}

// origin is what numbers belong to.
type origin struct {
	client int
	topic  string
}

func (t *tally) add(from origin, data []byte) uint64 {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.count == 0 {
		t.start = time.Now()
	}
	t.count++
	t.bytes += uint64(len(data))
	if digits, _, found := bytes.Cut(data, []byte(" ")); found {
		if number, err := strconv.ParseUint(string(digits), 10, 64); err == nil {
			t.number(from, number)
		}
	}
	return t.count
}

func (t *tally) number(from origin, number uint64) {
	last, known := t.last[from]
	switch {
	case known && number <= last:
		t.jumbled = true
	case known:
		t.missing += number - last - 1
	}
	t.last[from] = number
}

func (t *tally) line() object {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	var ms int64
	if t.count > 0 {
		ms = time.Since(t.start).Milliseconds()
	}
	return object{"tally": object{
		"count": t.count, "bytes": t.bytes, "in_order": !t.jumbled, "missing": t.missing, "ms": ms,
	}}
}
