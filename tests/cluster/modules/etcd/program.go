//go:build tools

// Only to name the program, so that go.mod keeps what it needs.
package program

import _ "go.etcd.io/etcd/server/v3"
