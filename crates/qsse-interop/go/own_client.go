//go:build !real

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/quic-go/quic-go"
)

// alpn is the name of the dialect.
const alpn = "PROTOCOL_QUIC"

// The topic of errors.
const errorTopic = "error"

type offerLine struct {
	Token  string   `json:"token,omitempty"`
	Topics []string `json:"topics,omitempty"`
}

type eventLine struct {
	Topic string `json:"topic,omitempty"`
	Data  []byte `json:"data,omitempty"`
}

type errorData struct {
	Code int            `json:"code,omitempty"`
	Data map[string]any `json:"data,omitempty"`
}

// connect runs a client until its connection is lost.
func connect(options clientOptions, calls received, ready func()) error {
	trust := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}
	connection, err := quic.DialAddr(context.Background(), options.address, trust, nil)
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	if err := sendOffer(connection, offerLine{options.token, options.topics}); err != nil {
		return fmt.Errorf("cannot send the offer: %w", err)
	}
	stream, err := connection.AcceptUniStream(context.Background())
	if err != nil {
		return fmt.Errorf("no stream of events: %w", err)
	}
	handlers := options.registered()
	ready()

	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("the connection is lost: %w", err)
		}
		var event eventLine
		if err := json.Unmarshal(line, &event); err != nil {
			fmt.Fprintln(os.Stderr, "peer: a line that is no event:", err)
			continue
		}
		handlers.dispatch(event, calls)
	}
}

func sendOffer(connection *quic.Conn, offer offerLine) error {
	stream, err := connection.OpenUniStream()
	if err != nil {
		return err
	}
	line, err := json.Marshal(offer)
	if err != nil {
		return err
	}
	if _, err := stream.Write(line); err != nil {
		return err
	}
	if _, err := stream.Write([]byte{'\n'}); err != nil {
		return err
	}
	return stream.Close()
}

// handlers are the patterns that a client dispatches by, and those of them with a handler.
type handlers struct {
	patterns []string
	own      []string
}

// registered takes a handler's topic if, as a pattern, it covers one of the topics asked for.
func (o *clientOptions) registered() handlers {
	result := handlers{patterns: slices.Clone(o.topics)}
	for _, topic := range o.handlers {
		covers := func(asked string) bool { return globs(topic, asked) }
		if !slices.ContainsFunc(result.patterns, covers) {
			fmt.Fprintln(os.Stderr, "peer: no topic for the handler", topic)
			continue
		}
		if !slices.Contains(result.patterns, topic) {
			result.patterns = append(result.patterns, topic)
		}
		result.own = append(result.own, topic)
	}
	return result
}

// dispatch calls once for each pattern that matches, with the pattern as the topic.
func (h *handlers) dispatch(event eventLine, calls received) {
	if event.Topic == errorTopic {
		var data errorData
		if json.Unmarshal(event.Data, &data) != nil {
			data = errorData{Code: codeUnknown, Data: map[string]any{}}
		}
		calls.error(data.Code, data.Data)
		return
	}
	matched := false
	for _, pattern := range h.patterns {
		if !globs(pattern, event.Topic) {
			continue
		}
		matched = true
		via := "message"
		if slices.Contains(h.own, pattern) {
			via = "event"
		}
		calls.event(pattern, event.Data, via)
	}
	if !matched {
		calls.event(event.Topic, event.Data, "message")
	}
}

// globs matches as file names are matched, where `*` stands for dots too.
func globs(pattern, topic string) bool {
	matches, err := filepath.Match(pattern, topic)
	return err == nil && matches
}
