package kafka

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Secure describes a listener of TLS and passwords.
type Secure struct {
	// Key and Chain are the server's key (PKCS #8) and certificates, as PEM.
	Key, Chain string
	// Clients is the PEM of the authority that client certificates must come from;
	// empty: clients show none.
	Clients string
	// Users are passwords by name, for PLAIN and both kinds of SCRAM; empty: TLS
	// alone.
	Users map[string]string
}

// scram are the arguments that make the users known when the storage is formatted.
func (s *Secure) scram() []string {
	if s == nil {
		return nil
	}
	var args []string
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, s.Users[name]))
		}
	}
	return args
}

// lines are the configuration of the listener; its files go to dir.
func (s *Secure) lines(dir string) ([]string, error) {
	const prefix = "listener.name.secure."
	keys := filepath.Join(dir, "server.pem")
	if err := os.WriteFile(keys, []byte(s.Key+s.Chain), 0o600); err != nil {
		return nil, fmt.Errorf("write key of server: %w", err)
	}
	lines := []string{prefix + "ssl.keystore.type=PEM", prefix + "ssl.keystore.location=" + keys}
	if s.Clients != "" {
		trusted := filepath.Join(dir, "clients.pem")
		if err := os.WriteFile(trusted, []byte(s.Clients), 0o600); err != nil {
			return nil, fmt.Errorf("write authority of clients: %w", err)
		}
		lines = append(lines, prefix+"ssl.truststore.type=PEM", prefix+"ssl.truststore.location="+trusted, prefix+"ssl.client.auth=required")
	}
	if len(s.Users) == 0 {
		return lines, nil
	}
	var users strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		fmt.Fprintf(&users, " user_%s=%q", name, s.Users[name])
	}
	const plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	return append(lines,
		prefix+"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		prefix+"plain.sasl.jaas.config="+plain+users.String()+";",
		prefix+"scram-sha-256.sasl.jaas.config="+scram,
		prefix+"scram-sha-512.sasl.jaas.config="+scram,
	), nil
}

// settings is the configuration of a broker that is alone: one copy of everything.
// Its cleaner and its retention look often, so that a test need not wait.
func settings(dir string, port, control, secure int, o Options) (string, error) {
	listeners := fmt.Sprintf("PLAIN://127.0.0.1:%d", port)
	protocols := "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT"
	var more []string
	if o.Secure != nil {
		listeners += fmt.Sprintf(",SECURE://127.0.0.1:%d", secure)
		protocol := "SSL"
		if len(o.Secure.Users) > 0 {
			protocol = "SASL_SSL"
		}
		protocols += ",SECURE:" + protocol
		var err error
		if more, err = o.Secure.lines(dir); err != nil {
			return "", err
		}
	}
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", control),
		fmt.Sprintf("listeners=%s,CONTROLLER://127.0.0.1:%d", listeners, control),
		"advertised.listeners=" + listeners,
		"inter.broker.listener.name=PLAIN",
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=" + protocols,
		"log.dirs=" + filepath.Join(dir, "data"),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=4",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"auto.create.topics.enable=false",
		"message.max.bytes=75497472",
		"log.segment.bytes=16777216",
		// Tests write times of long ago, which retention by time would delete at once.
		"log.retention.ms=-1",
		"log.initial.task.delay.ms=500",
		"log.retention.check.interval.ms=500",
		"log.segment.delete.delay.ms=500",
		"log.cleaner.backoff.ms=200",
		// A broker that was killed comes back only when its old session has ended.
		"broker.session.timeout.ms=2000",
		"broker.heartbeat.interval.ms=500",
	}
	lines = append(append(lines, more...), o.Lines...)
	return strings.Join(lines, "\n") + "\n", nil
}
