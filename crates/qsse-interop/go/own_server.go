//go:build !real

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// The error codes that are sent.
const (
	codeNotAuthorized     = 1
	codeTopicNotAvailable = 2
	codeUnknown           = 5
)

// own is a server that speaks the dialect itself.
type own struct {
	options     serverOptions
	listener    *quic.Listener
	certificate []byte
	sources     map[string]*source
}

// source is a declared topic.
type source struct {
	topic   string
	events  chan []byte
	waiting atomic.Int64

	mutex       sync.Mutex
	subscribers []*subscriber
}

// subscriber is a client's stream, which all its topics share.
type subscriber struct {
	mutex  sync.Mutex
	stream *quic.SendStream
}

func listen(options serverOptions) (server, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	listener, err := quic.ListenAddr(options.address, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
		NextProtos:   []string{alpn},
	}, nil)
	if err != nil {
		return nil, err
	}
	own := &own{options, listener, certificate, map[string]*source{}}
	for _, topic := range options.topics {
		source := &source{topic: topic, events: make(chan []byte)}
		own.sources[topic] = source
		go source.distribute()
	}
	go own.accept()
	return own, nil
}

func (o *own) accept() {
	for {
		connection, err := o.listener.Accept(context.Background())
		if err != nil {
			return
		}
		go func() {
			if err := o.serve(connection); err != nil {
				fmt.Fprintln(os.Stderr, "peer: a client:", err)
			}
		}()
	}
}

// serve reads the offer and subscribes; events are written by the topics' goroutines.
func (o *own) serve(connection *quic.Conn) error {
	stream, err := connection.AcceptUniStream(context.Background())
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(stream).ReadBytes('\n')
	if err != nil {
		return err
	}
	var offer offerLine
	if err := json.Unmarshal(line, &offer); err != nil {
		return err
	}
	if o.options.token != "" && offer.Token != o.options.token {
		return connection.CloseWithError(codeNotAuthorized, "not authorized")
	}
	events, err := connection.OpenUniStream()
	if err != nil {
		return err
	}
	subscriber := &subscriber{stream: events}
	for _, topic := range offer.Topics {
		source, declared := o.sources[topic]
		switch {
		case !declared:
			err = subscriber.refuse(codeTopicNotAvailable, topic)
		case slices.Contains(o.options.denied, topic):
			err = subscriber.refuse(codeNotAuthorized, topic)
		default:
			source.add(subscriber)
			go func() {
				<-connection.Context().Done()
				source.remove(subscriber)
			}()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// publish takes the topic as a pattern for declared topics, which events are sent under. What nobody has
// subscribed to is dropped; a slow subscriber makes the publisher wait.
func (o *own) publish(topic string, data []byte) {
	for declared, source := range o.sources {
		if globs(topic, declared) && source.count() > 0 {
			source.waiting.Add(1)
			source.events <- data
		}
	}
}

func (s *source) distribute() {
	for data := range s.events {
		s.waiting.Add(-1)
		s.mutex.Lock()
		subscribers := slices.Clone(s.subscribers)
		s.mutex.Unlock()
		for _, subscriber := range subscribers {
			if subscriber.write(eventLine{s.topic, data}) != nil {
				s.remove(subscriber)
			}
		}
	}
}

func (s *source) add(subscriber *subscriber) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.subscribers = append(s.subscribers, subscriber)
}

func (s *source) remove(gone *subscriber) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	isGone := func(one *subscriber) bool { return one == gone }
	s.subscribers = slices.DeleteFunc(s.subscribers, isGone)
}

func (s *source) count() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.subscribers)
}

func (s *subscriber) write(event eventLine) error {
	line, err := json.Marshal(event)
	if err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if _, err := s.stream.Write(line); err != nil {
		return err
	}
	_, err = s.stream.Write([]byte{'\n'})
	return err
}

func (s *subscriber) refuse(code int, topic string) error {
	data, err := json.Marshal(errorData{code, map[string]any{"topic": topic}})
	if err != nil {
		return err
	}
	return s.write(eventLine{errorTopic, data})
}

func (o *own) address() string { return o.listener.Addr().String() }

func (o *own) fingerprint() string {
	hash := sha256.Sum256(o.certificate)
	return hex.EncodeToString(hash[:])
}

func (o *own) subscribers(topic string) int {
	if source, declared := o.sources[topic]; declared {
		return source.count()
	}
	return 0
}

func (o *own) metrics() http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		for topic, source := range o.sources {
			fmt.Fprintf(out, "qsse_qsse_event_count{topic=%q} %d\n", topic, source.waiting.Load())
			fmt.Fprintf(out, "qsse_qsse_subscriber_count{topic=%q} %d\n", topic, source.count())
		}
	})
}
