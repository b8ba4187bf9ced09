// Kstatus says what the library by which Flux and Helm 4 wait makes of resources: one JSON object per
// line on standard input, one word per line on standard output.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const longest = 1 << 20

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		word, err := computed(lines.Bytes())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(word)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func computed(line []byte) (status.Status, error) {
	resource := &unstructured.Unstructured{}
	if err := resource.UnmarshalJSON(line); err != nil {
		return "", err
	}
	result, err := status.Compute(resource)
	if err != nil {
		return "", err
	}
	return result.Status, nil
}
