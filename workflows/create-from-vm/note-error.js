/* Keeps why a step has failed with the job, for the image, and lets it fail. */
function noteError(err, job, cb) {
    var MAX_LENGTH = 20000;
    var text = typeof err === 'string' ? err : String(err.message);

    function elided(message) {
        var note = '\n... content elided (full message was ' + message.length + ' characters) ...\n';
        var half = MAX_LENGTH / 2;
        if (message.length <= MAX_LENGTH) {
            return message;
        }
        return message.slice(0, half) + note + message.slice(-half);
    }

    function structured() {
        var parsed;
        if (text.charAt(0) !== '{') {
            return null;
        }
        try {
            parsed = JSON.parse(text);
        } catch (ignored) {
            return null;
        }
        return parsed;
    }

    if (err !== 'cancel') {
        job.error = structured() || {
            message: elided(typeof err === 'string' ? err : err.name + ': ' + err.message),
            code: err.code || err.restCode
        };
    }
    cb(err);
}
