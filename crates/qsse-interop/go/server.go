package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// serverOptions is what a server is made of.
type serverOptions struct {
	address string
	topics  []string
	token   string
	denied  []string
}

// server is one that runs.
type server interface {
	// address is where it listens, as far as it knows.
	address() string
	// fingerprint is the SHA-256 of its certificate, in hex.
	fingerprint() string
	publish(topic string, data []byte)
	// subscribers counts those of a topic.
	subscribers(topic string) int
	metrics() http.Handler
}

// order is a line of standard input: one of its fields.
type order struct {
	Publish *struct {
		Topic string `json:"topic"`
		Data  []byte `json:"data"`
	} `json:"publish"`
	Generate *struct {
		Topic string `json:"topic"`
		Count uint64 `json:"count"`
		Bytes int    `json:"bytes"`
	} `json:"generate"`
	// Waits until a topic has that many subscribers; if told to, it publishes meanwhile, which is how the library
	// finds out who is gone.
	Await *struct {
		Topic   string `json:"topic"`
		Count   int    `json:"count"`
		Publish bool   `json:"publish"`
	} `json:"await"`
	SleepMs time.Duration `json:"sleep_ms"`
}

func runServer(arguments []string) error {
	var options serverOptions
	set := flags("server")
	set.StringVar(&options.address, "address", "127.0.0.1:0", "where to listen")
	topics := set.String("topics", "", "topics, separated by commas")
	set.StringVar(&options.token, "token", "", "the one token that is accepted; any, if empty")
	set.Var((*list)(&options.denied), "deny", "a topic that nobody may subscribe to, repeatable")
	metrics := set.String("metrics", "", "where to serve metrics over HTTP")
	_ = set.Parse(arguments)
	options.topics = commas(*topics)

	server, err := listen(options)
	if err != nil {
		return err
	}
	greeting := object{"listening": server.address(), "fingerprint": server.fingerprint()}
	if *metrics != "" {
		listener, err := net.Listen("tcp", *metrics)
		if err != nil {
			return err
		}
		greeting["metrics"] = listener.Addr().String()
		go func() { _ = http.Serve(listener, server.metrics()) }()
	}
	out := newReport()
	out.line(greeting)

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var order order
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			return fmt.Errorf("a line of standard input: %w", err)
		}
		out.line(order.carryOut(server))
	}
	return lines.Err()
}

func (o *order) carryOut(server server) object {
	switch {
	case o.Publish != nil:
		server.publish(o.Publish.Topic, o.Publish.Data)
		return object{"published": 1}
	case o.Generate != nil:
		for number := range o.Generate.Count {
			server.publish(o.Generate.Topic, payload(number, o.Generate.Bytes))
		}
		return object{"published": o.Generate.Count}
	case o.Await != nil:
		for server.subscribers(o.Await.Topic) != o.Await.Count {
			if o.Await.Publish {
				server.publish(o.Await.Topic, nil)
			}
			time.Sleep(5 * time.Millisecond)
		}
		return object{"subscribers": o.Await.Count}
	default:
		time.Sleep(o.SleepMs * time.Millisecond)
		return object{"published": 0}
	}
}

// payload is a number, a space, and padding.
func payload(number uint64, size int) []byte {
	data := make([]byte, 0, size)
	data = append(strconv.AppendUint(data, number, 10), ' ')
	for len(data) < size {
		data = append(data, 'x')
	}
	return data
}
