import java.io.IOException;
import java.util.concurrent.CountDownLatch;

import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * Runs one node of OpenSearch until it is asked to end. Its arguments are its port (its transport has the one above)
 * and the folder of its data. The runner has a `main` of its own, which keeps errors to itself.
 */
class Launcher {
    public static void main(String[] args) throws InterruptedException {
        int port = Integer.parseInt(args[0]);
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("network.host", "127.0.0.1");
            settings.put("http.port", String.valueOf(port));
            settings.put("transport.port", String.valueOf(port + 1));
            settings.put("discovery.type", "single-node");
            // However full the disk is: indices that can't be written to are no help to tests.
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(runner)));
        runner.build(OpenSearchRunner.newConfigs().numOfNode(1).basePath(args[1]).disableESLogger());
        new CountDownLatch(1).await();
    }

    private static void close(OpenSearchRunner runner) {
        try {
            runner.close();
        } catch (IOException error) {
            error.printStackTrace();
        }
    }
}
