import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** Writes the 200 events of the guide in structured mode. */
public class Structured {
    public static void main(String[] args) throws Exception {
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", System.getenv("BOOTSTRAP"),
            "acks", "all",
            "enable.idempotence", true);
        var kind = "application/cloudevents+json".getBytes(StandardCharsets.UTF_8);
        var text = new StringSerializer();
        try (var producer = new KafkaProducer<String, String>(settings, text, text)) {
            var sent = new ArrayList<Future<RecordMetadata>>();
            for (int number = 0; number < 200; number++) {
                var event = """
                    {"specversion":"1.0","id":"req-%d","source":"/inference/eu-1",
                     "type":"tokens.used","tenant":"acme","subject":"user-17",
                     "data":{"model":"large","tokens":2}}""".formatted(number);
                var record = new ProducerRecord<>("usage", "acme/req-" + number, event);
                record.headers().add("content-type", kind);
                sent.add(producer.send(record));
            }
            for (var record : sent) {
                record.get();
            }
        }
    }
}
