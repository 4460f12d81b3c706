//go:build real

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/snapp-incubator/qsse"
)

// connect runs a client; when its connection is lost, the library ends the process.
func connect(options clientOptions, calls received, ready func()) error {
	config := &qsse.ClientConfig{Token: options.token}
	client, err := qsse.NewClient(options.address, options.topics, config)
	if err != nil {
		return err
	}
	client.SetErrorHandler(calls.error)
	client.SetMessageHandler(func(topic string, data []byte) { calls.event(topic, data, "message") })
	for _, topic := range options.handlers {
		client.SetEventHandler(topic, func(data []byte) { calls.event(topic, data, "event") })
	}
	ready()
	select {}
}

// library is the library's server.
type library struct {
	qsse.Server
	options     serverOptions
	certificate []byte
}

func listen(options serverOptions) (server, error) {
	tls := qsse.GetDefaultTLSConfig()
	config := &qsse.ServerConfig{TLSConfig: tls}
	server, err := qsse.NewServer(options.address, options.topics, config)
	if err != nil {
		return nil, err
	}
	if options.token != "" {
		server.SetAuthenticatorFunc(func(token string) bool { return token == options.token })
	}
	server.SetAuthorizerFunc(func(_, topic string) bool {
		return !slices.Contains(options.denied, topic)
	})
	return &library{server, options, tls.Certificates[0].Certificate[0]}, nil
}

// The library tells nobody which port it was given.
func (l *library) address() string { return l.options.address }

func (l *library) fingerprint() string {
	hash := sha256.Sum256(l.certificate)
	return hex.EncodeToString(hash[:])
}

func (l *library) publish(topic string, data []byte) { l.Publish(topic, data) }

func (l *library) metrics() http.Handler { return l.MetricHandler() }

// subscribers reads the library's own gauge, which goes up a moment before the subscriber counts for
// publishing.
func (l *library) subscribers(topic string) int {
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		return 0
	}
	for _, family := range families {
		if family.GetName() != "qsse_qsse_subscriber_count" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "topic" && label.GetValue() == topic {
					time.Sleep(20 * time.Millisecond)
					return int(metric.GetGauge().GetValue())
				}
			}
		}
	}
	return 0
}
