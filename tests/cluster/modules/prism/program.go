//go:build tools

// Only to name the program, so that go.mod keeps what it needs.
package program

import _ "github.com/apache/beam/sdks/v2/go/cmd/prism"
