//go:build tools

// Only to name the program, so that go.mod keeps what it needs.
package program

import _ "github.com/kubeflow/training-operator/cmd/training-operator.v1"
